'use strict';
// In monitor mode, tells the supervisor which of the site's variables the function's code reads: names,
// each once, never values. Who lists or copies all variables (Object.keys, a spread, JSON.stringify) has
// not read any of them. This is advice: code in the same process can go round it.
const { define, get, getOwnPropertyDescriptor, ownKeys } = {
  define: Object.defineProperty, get: Reflect.get, getOwnPropertyDescriptor: Reflect.getOwnPropertyDescriptor, ownKeys: Reflect.ownKeys,
};
const soon = queueMicrotask;

// watchEnvironment puts a proxy in the place of process.env; tell gets each name that is read.
function watchEnvironment(names, tell) {
  const unread = new Set(names);
  let listing = null; // what happens between a list of all names and the end of this run of code

  const read = (name) => { if (unread.delete(name)) tell(name); };
  const settle = () => {
    const { left, reads } = listing;
    listing = null;
    // Whoever asked for every value after the list made a copy. What was asked for twice was read, too.
    for (const [name, times] of reads) if (left.size > 0 || times > 1) read(name);
  };

  const proxy = new Proxy(process.env, {
    ownKeys(env) {
      const keys = ownKeys(env);
      if (listing) settle();
      else soon(() => { if (listing) settle(); });
      listing = { left: new Set(keys), reads: new Map(), described: undefined, copying: true };
      return keys;
    },
    getOwnPropertyDescriptor(env, name) {
      if (listing) {
        if (listing.described !== undefined) listing.copying = false; // Object.keys looks at one after the other
        listing.described = name;
      }
      return getOwnPropertyDescriptor(env, name);
    },
    get(env, name) {
      if (!listing) read(name);
      else if (listing.copying && listing.described === name) listing.described = undefined; // a spread looks at each, then takes it
      else {
        listing.left.delete(name);
        if (unread.has(name)) listing.reads.set(name, (listing.reads.get(name) ?? 0) + 1);
      }
      return get(env, name);
    },
    set(env, name, value) { // by itself a proxy would define the property, which process.env refuses
      env[name] = value;
      return true;
    },
  });
  define(process, 'env', { value: proxy, writable: true, enumerable: true, configurable: true });
  require('node:module').syncBuiltinESMExports();
}

module.exports = { watchEnvironment };
