'use strict';
// A process that loads the function and is then forked for each instance: what must be so before it is, and
// what a child must change to be a process of its own. The forking itself is done by an addon, and every
// step of it is granted from outside (internal/sandbox/walls/gate.go).
const crypto = require('node:crypto');
const { takeSecret } = require('./channel.cjs');
const { like } = require('./like.cjs');

const { apply } = Reflect;
const { inspect } = require('node:util');
const { setFlagsFromString } = require('node:v8');
const { writeSync } = require('node:fs');
const { assign, defineProperty: define } = Object;
const randomFill = crypto.randomFillSync;
const now = Date.now;
const soon = setImmediate;

const addon = { exports: {} };
process.dlopen(addon, '/opt/weir/fork.node');
const { fork, keep, exit, handles, requests } = addon.exports;

const patience = 1000; // ms: what was begun while the function was loaded may come to its end
const usual = new Set(['check', 'idle', 'prepare', 'signal']); // setImmediate's, and what each child has anew
const words = {
  async: 'a worker or a message port', fs_event: 'a watched file', fs_poll: 'a watched file', pipe: 'a socket',
  poll: 'a socket', process: 'a child process', tcp: 'a socket', timer: 'a timer', tty: 'a terminal', udp: 'a socket',
};

// become lets the process be forked once nothing of the function's is under way, and gives each child its
// channel and the request to load that came over it: born gets both, and nobody else, as what a promise or a list
// hands on the function's code can have a hand in. answer is what the zygote's own request is answered.
// The error says what the function left behind when it was loaded.
async function become(Channel, channel, answer, born) {
  await settled();
  channel.send('loaded', answer);
  await new Promise((closed) => channel.close(closed));
  await settled(1).catch(() => exit(1)); // nobody hears the reason any more
  setFlagsFromString('--lazy'); // what is loaded from now on may never be called
  const pid = fork();
  // From here on this is a child.
  takeSecret(3);
  let request;
  const own = new Channel(3, (first) => { request = first; });
  define(process, 'pid', { value: pid, writable: true, enumerable: true, configurable: true });
  endAlone();
  keep(() => process.emit('beforeExit', process.exitCode ?? 0));
  for (const renew of renewals) renew();
  assign(own, channel); // what takes its messages
  born(own, request);
}

// rehearse has the shim do, for functions of its own, what it will do in each child: what is loaded and compiled
// by then, no child has to. It comes before the function's code, which notices nothing of it.
async function rehearse(runnerOf, channel) {
  for (const [form, handler] of [['v1', async () => null], ['v2', () => new Response('')]]) {
    await new Promise((over) => {
      const silent = { hold: (on) => channel.hold(on), sendText: over };
      runnerOf({ form, handler }, silent).run(0, { id: '', deadline: 0 }, '{}');
    });
    process.off('beforeExit', process.listeners('beforeExit').at(-1)); // the runner's
  }
}

// settled waits until the event loop holds what it held before the function was loaded, but for so many
// sockets of our own. Its promise is kept in the same turn of the loop: nothing runs before what awaits it.
function settled(closed = 0) {
  const start = now();
  return new Promise((resolve, reject) => {
    const look = () => {
      const left = leftBehind(closed);
      if (!left) resolve();
      else if (now() - start < patience) soon(look);
      else reject(Object.assign(new Error(`when it was loaded, it left ${left} behind`), { name: 'Runtime.NotForkable' }));
    };
    soon(look);
  });
}

function leftBehind(closed) {
  if (stocked) return 'a stock of random bytes';
  if (requests() > 0) return 'an operation under way';
  const before = [...base];
  if (closed) before.splice(before.indexOf('pipe'), closed); // the channel
  for (const kind of handles()) {
    const at = before.indexOf(kind);
    if (at >= 0) before.splice(at, 1);
    else if (!usual.has(kind)) return words[kind] ?? `a handle (${kind})`;
  }
  return '';
}

// endAlone makes a child end by itself: Node.js would wait for threads that were not forked.
function endAlone() {
  process.reallyExit = (code) => exit(code ?? 0);
  process.on('exit', (code) => exit(code));
  process.on('uncaughtExceptionMonitor', (e) => { // the listener for 'exit' ends it before it would be printed
    if (process.listenerCount('uncaughtException') === 0) writeSync(2, `Uncaught ${inspect(e)}\n`);
  });
}

// What is random in a child must not be what its siblings have. So it is made anew in each, also for code
// that kept a reference to a function when it was loaded.
const renewals = [];

function renewMathRandom() {
  const seed = new Uint32Array(4);
  const renew = () => { randomFill(seed); };
  renew();
  const next = () => { // xoshiro128**, Blackman and Vigna
    const r = Math.imul(rotate(Math.imul(seed[1], 5), 7), 9) >>> 0;
    const t = seed[1] << 9;
    seed[2] ^= seed[0];
    seed[3] ^= seed[1];
    seed[1] ^= seed[2];
    seed[0] ^= seed[3];
    seed[2] ^= t;
    seed[3] = rotate(seed[3], 11);
    return r;
  };
  Math.random = like(Math.random, () => ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 0x20000000000000);
  renewals.push(renew);
}

const rotate = (n, by) => (n << by) | (n >>> (32 - by));

// renewStock has a function of Node.js that hands out of a stock of random bytes use that up in a child, if
// it was called before; calls are how many do.
function renewStock(calls, call, ...places) {
  let used = false;
  for (const [object, name] of places) {
    const original = object[name];
    object[name] = like(original, function (...args) {
      used = true;
      return apply(original, this, args);
    });
  }
  renewals.push(() => {
    if (used) for (let i = 0; i < calls; i++) call();
  });
}

// watchStocks notices when more random bytes are drawn at a time than a key has: packages that make ids (uuid,
// nanoid) draw a stock, and each child would make the same ids of it.
let stocked = false;
const aKey = 64; // bytes

function watchStocks(size, ...places) {
  for (const [object, name] of places) {
    const original = object[name];
    object[name] = like(original, function (...args) {
      stocked ||= size(...args) > aKey;
      return apply(original, this, args);
    });
  }
}

watchStocks((size) => size, [crypto, 'randomBytes']);
watchStocks((into, from, size) => (typeof size === 'number' ? size : into?.byteLength), [crypto, 'randomFill'], [crypto, 'randomFillSync']);
watchStocks((into) => into?.byteLength, [Object.getPrototypeOf(crypto.webcrypto), 'getRandomValues']);
renewMathRandom();
const { randomInt, randomUUID, webcrypto } = crypto;
renewStock(1024, () => randomInt(2), [crypto, 'randomInt']);
renewStock(128, () => randomUUID(), [crypto, 'randomUUID'], [Object.getPrototypeOf(webcrypto), 'randomUUID']);
require('node:module').syncBuiltinESMExports();

const base = handles();

module.exports = { become, rehearse };
