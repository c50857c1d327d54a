'use strict';
// An HTTP request that Weir refused ends with an error, as if it had never been answered: that is what
// clients and the packages on them expect of a call that can't be made. All clients in this process come
// through one of three places: http.ClientRequest, the streams of http2, and undici (which is fetch).
// Where nobody listens for errors, one would end the process, so that a stray call could end the function:
// such a caller gets the response, a 403 like any other.
//
// http and http2 cost milliseconds to load, and many functions use neither. So each is changed when it is
// there and a connection is about to be made.
const net = require('node:net');
const { subscribe } = require('node:diagnostics_channel');
const { syncBuiltinESMExports } = require('node:module');
const { like, watchEmit } = require('./like.cjs');

const { apply } = Reflect;
const { nextTick } = process;

function watchResponses(words) {
  watchUndici(words);
  const late = [once('_http_client', () => watchRequests(words)), once('http2', () => watchSessions(words))];
  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = like(connect, function (...args) {
    for (const watch of late) watch()?.(this);
    return apply(connect, this, args);
  });
}

// once calls a function when a module is there, and gives what it gave.
function once(module, f) {
  let called = false;
  let result;
  return () => {
    if (!called && loaded(module)) {
      called = true;
      result = f();
    }
    return result;
  };
}

// loaded tells whether this process has a module of Node's. If the list goes away, it says yes.
function loaded(name) {
  return process.moduleLoadList?.includes('NativeModule ' + name) ?? true;
}

// watchRequests looks at what http and https give to those who wait for a response.
function watchRequests(words) {
  const { ClientRequest } = require('node:http');
  watchEmit(ClientRequest.prototype, function (event, response, socket) {
    if (event !== 'response' && event !== 'connect' || !(response?.statusCode >= 400) || this.listenerCount('error') === 0) return false;
    const e = words.response(response.rawHeaders);
    if (!e) return false;
    if (event === 'response') return this.destroy(e), true;
    socket.destroy(); // no longer the request's own
    this.emit('error', e);
    return true;
  });
}

// watchSessions waits for the first session of http2, as what it takes to see the streams costs
// milliseconds, and fetch loads http2 without using it. It gives a function to call with each socket that is
// about to connect: for who took http2.connect before it was replaced.
function watchSessions(words) {
  let seen = false;
  const found = () => {
    if (seen) return;
    seen = true;
    watchStreams(words);
  };
  const http2 = require('node:http2');
  const { connect } = http2;
  http2.connect = like(connect, function (...args) {
    found();
    return apply(connect, this, args);
  });
  syncBuiltinESMExports();
  return (socket) => {
    if (!seen) nextTick(() => { if (socket.listeners('close').some((f) => f.name === 'socketOnClose')) found(); });
  };
}

// watchStreams looks at what the streams of http2 give. Their class is had from one that leads nowhere.
function watchStreams(words) {
  const http2 = require('node:http2');
  const socket = new net.Socket();
  socket.connecting = true; // or the session would begin
  const session = http2.connect('http://localhost', { createConnection: () => socket });
  const stream = session.request();
  for (const s of [session, stream]) s.on('error', () => {});
  watchEmit(Object.getPrototypeOf(stream), function (event, headers) {
    if (event !== 'response' || !(headers?.[':status'] >= 400) || this.listenerCount('error') === 0) return false;
    const e = words.header(headers['weir-denied']);
    if (e) this.destroy(e);
    return e !== null;
  });
  session.destroy();
}

// watchUndici serves fetch, WebSocket and EventSource of Node and every copy of the package: all of them
// say on this channel that the head of a response has come, before they look at it themselves.
function watchUndici(words) {
  subscribe('undici:request:headers', ({ request, response }) => {
    if (response.statusCode < 400) return;
    const e = words.response(response.headers);
    if (e) fail(request, e);
  });
}

// fail gives a request's error to whoever made it, and lets the response run into nothing. To abort the
// request would end the connection, and undici would make another only to find that nothing is left to send.
function fail(request, e) {
  const key = Object.getOwnPropertySymbols(request).find((s) => s.description === 'handler');
  const handler = request[key];
  if (typeof handler?.onError !== 'function') return request.abort(e);
  request[key] = deaf;
  request.aborted = true; // for now, so that an abort in return does nothing
  try {
    handler.onError(e);
  } finally {
    request.aborted = false;
  }
}

const deaf = new Proxy({}, { get: () => () => true });

module.exports = { watchResponses };
