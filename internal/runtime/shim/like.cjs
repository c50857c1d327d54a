'use strict';
// How the shim gets between Node and its callers. It must not be noticed by what looks at functions, such as
// util.promisify, nor by packages that patch in turn.
const { apply } = Reflect;
const define = Object.defineProperty;

// like gives a wrapper the looks of what it wraps.
function like(original, wrapper) {
  define(wrapper, 'name', { value: original.name, configurable: true });
  define(wrapper, 'length', { value: original.length, configurable: true });
  for (const key of Reflect.ownKeys(original)) {
    if (key !== 'name' && key !== 'length' && key !== 'prototype' && key !== 'arguments' && key !== 'caller') define(wrapper, key, Object.getOwnPropertyDescriptor(original, key));
  }
  return wrapper;
}

// watchEmit lets take see each event first; what it takes, nobody else hears of.
function watchEmit(prototype, take) {
  const parent = Object.getPrototypeOf(prototype);
  define(prototype, 'emit', { configurable: true, writable: true, value: function emit(...args) {
    return apply(take, this, args) || apply(parent.emit, this, args);
  } });
}

module.exports = { like, watchEmit };
