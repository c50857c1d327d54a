'use strict';
// A supervisor for tests of whole invocations: it grants credit as it is told to, and puts answers together.
const { Runner } = require('../runner.cjs');

const decoder = new TextDecoder();

// start gives a supervisor of a function whose handler is loaded; idle() is an empty event loop.
function start(loaded, { window = 1 << 20 } = {}) {
  const calls = new Map();
  let held = true;
  const told = (type, seq, text, last) => {
    const call = calls.get(seq);
    call.frames.push(last ? type + '!' : type);
    if (type === 'chunk') call.body += text;
    else if (type === 'error' || type === 'fatal') call.error = JSON.parse(text);
    else if (type === 'head') call.head = JSON.parse(text);
    else if (type === 'result') { call.head = JSON.parse(text); call.body = call.head?.body ?? ''; }
    else if (type === 'credit') call.granted += Number(text);
    if (last) call.over();
    call.ontell?.();
  };
  const channel = {
    hold(on) { held = on; },
    send: (type, value, seq) => told(type, seq, JSON.stringify(value), false),
    sendText: (type, text, seq, last) => told(type, seq, text, last),
    sendBytes: (type, bytes, at, end, seq) => told(type, seq, decoder.decode(bytes.subarray(at, end)), false),
  };
  const on = process.on;
  let idle;
  process.on = (name, f) => { idle = f; }; // node:test needs the real one
  let runner;
  try {
    runner = new Runner(loaded, { functionName: 'fn', memoryMB: 128, logStreamName: 'stream', maxResult: 1e6, window }, channel);
  } finally {
    process.on = on;
  }
  let seq = 0;
  return {
    runner,
    idle,
    get held() { return held; },
    // begin starts an invocation; its promise is settled when nothing of it goes on.
    begin(event = {}, meta = {}) {
      const call = { seq: ++seq, frames: [], body: '', granted: 0 };
      call.settled = new Promise((over) => { call.over = () => over(call); });
      // until waits until the frames are such.
      call.until = (ok) => new Promise((done) => {
        call.ontell = () => { if (ok(call)) { call.ontell = null; done(call); } };
        call.ontell();
      });
      calls.set(call.seq, call);
      runner.run(call.seq, { id: 'id-1', deadline: Date.now() + 60000, ...meta }, JSON.stringify(event));
      return call;
    },
    run(event, meta) { return this.begin(event, meta).settled; },
  };
}

// get is the event of a GET request.
function get(url = 'http://site.test/', more = {}) {
  return { rawUrl: url, path: new URL(url).pathname, httpMethod: 'GET', headers: {}, multiValueHeaders: {}, body: null, isBase64Encoded: false, ...more };
}

module.exports = { start, get };
