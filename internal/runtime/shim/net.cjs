'use strict';
// A connection that Weir reset, a DNS question that it refused and a datagram that the kernel did: their protocols
// have no words for the reason. That of a connection or a question comes over the channel, before the error but
// perhaps not yet read.
const net = require('node:net');
const dns = require('node:dns');
const { domainToASCII } = require('node:url');
const { like } = require('./like.cjs');

const { apply } = Reflect;
const turn = setImmediate;
// How a refusal by Weir may look; others look the same. The last is a TLS server name that is not the dialled one.
const refusals = new Set(['ECONNRESET', 'EPIPE', 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME']);

// The numbers of the types that a program can ask for (RFC 1035, section 3.2.2, and the IANA registry), by
// what Node calls the question. Who looks up an address asks for both kinds; the last has the last word.
const TYPES = { getaddrinfo: [28, 1], queryA: 1, queryNs: 2, queryCname: 5, querySoa: 6, getHostByAddr: 12, queryPtr: 12, queryMx: 15, queryTxt: 16,
  queryAaaa: 28, querySrv: 33, queryNaptr: 35, queryTlsa: 52, queryAny: 255, queryCaa: 257 };
// How a refused question ends: a name that no host can have is not found, and getHostByAddr forgets a refusal
// when it looks into /etc/hosts.
const NOES = new Set(['EREFUSED', 'ENOTFOUND', 'EAI_AGAIN']);

function watchRefusals(words) {
  watchSockets(words);
  watchQuestions(words);
  watchDatagrams(words);
}

// soon runs when the channel has been read: that happens in the next turn of the event loop at the latest,
// and a turn may be over when this is called.
function soon(f) {
  turn(() => turn(f));
}

function watchSockets(words) {
  const destroy = net.Socket.prototype._destroy;
  net.Socket.prototype._destroy = like(destroy, function (e, done) {
    if (!refusals.has(e?.code)) return apply(destroy, this, [e, done]);
    const port = this.localPort;
    soon(() => {
      words.connection(e, port);
      apply(destroy, this, [e, done]);
    });
  });
}

function watchQuestions(words) {
  const explain = (e, then) => {
    if (!(e?.syscall in TYPES) || !NOES.has(e.code)) return then();
    soon(() => {
      const name = e.syscall === 'getHostByAddr' ? arpa(e.hostname) : ascii(e.hostname);
      for (const type of [TYPES[e.syscall]].flat()) words.question(e, type, name);
      then();
    });
  };
  for (const object of [dns, dns.Resolver.prototype]) {
    for (const name of questions(object)) wrapCallback(object, name, explain);
  }
  for (const object of [dns.promises, dns.promises.Resolver.prototype]) {
    for (const name of questions(object)) wrapPromise(object, name, explain);
  }
}

// ascii gives the name as it is asked for: Node translates other letters (UTS 46), and the resolver's library
// stops at a NUL.
function ascii(name) {
  name = String(name).split('\0', 1)[0];
  return /[^\0-\x7f]|xn--/i.test(name) ? domainToASCII(name) : name;
}

// arpa gives the name that is asked for an address.
function arpa(address) {
  if (net.isIPv4(address)) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  if (!net.isIPv6(address)) return address;
  const [head, tail] = new URL(`http://[${address.replace(/%.*/, '')}]`).hostname.slice(1, -1).split('::').map((part) => part.split(':').filter(Boolean));
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail] : head;
  return `${[...groups.map((group) => group.padStart(4, '0')).join('')].reverse().join('.')}.ip6.arpa`;
}

const questions = (object) => Object.getOwnPropertyNames(object).filter((name) => /^(resolve|reverse|lookup$)/.test(name) && typeof object[name] === 'function');

function wrapCallback(object, name, explain) {
  const original = object[name];
  object[name] = like(original, function (...args) {
    const callback = args[args.length - 1];
    if (typeof callback === 'function') {
      args[args.length - 1] = function (...results) { explain(results[0], () => apply(callback, this, results)); };
    }
    return apply(original, this, args);
  });
}

function wrapPromise(object, name, explain) {
  const original = object[name];
  object[name] = like(original, function (...args) {
    const promise = apply(original, this, args);
    return promise.then(undefined, (e) => new Promise((_, fail) => explain(e, () => fail(e))));
  });
}

// What the kernel says of a datagram that no rule lets out (IPv4, IPv6).
const unsent = new Set(['EPERM', 'EACCES']);

function watchDatagrams(words) {
  const { Socket } = require('node:dgram');
  const peers = new WeakMap(); // sockets that are connected: the host as it was named
  const named = (args) => args.findLast((arg) => typeof arg === 'string');
  const { connect, send } = Socket.prototype;
  Socket.prototype.connect = like(connect, function (...args) {
    peers.set(this, named(args.slice(1)));
    return apply(connect, this, args);
  });
  Socket.prototype.send = like(send, function (...args) {
    const callback = args[args.length - 1];
    if (typeof callback === 'function') {
      const host = named(args.slice(1)) ?? peers.get(this);
      args[args.length - 1] = (e, ...results) => {
        if (e?.syscall === 'send' && unsent.has(e.code)) words.datagram(e, host ?? e.address, e.port ?? this.remoteAddress().port);
        return apply(callback, this, [e, ...results]);
      };
    }
    return apply(send, this, args);
  });
}

module.exports = { watchRefusals };
