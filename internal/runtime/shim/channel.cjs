'use strict';
// The channel to the supervisor: frames over the socket that is file descriptor 3.
//
// From the supervisor: u8 type, 3 bytes 0, u32 sequence, u32 length (little endian), payload.
// To the supervisor: 16 bytes secret, then the same. The secret comes with the load request, before
// any other code runs; bytes that don't begin with it are not ours, and the supervisor skips them.
const net = require('node:net');
const fs = require('node:fs');

const IN = { load: 1, invoke: 2 };
const OUT = { loaded: 1, failed: 2, result: 3, error: 4, fatal: 5, report: 6, toolarge: 7 };
const HEAD = 12;
const SECRET = 16;

// Captured before the function's code can replace them.
const { parse, stringify } = JSON;
const { from, concat, alloc } = Buffer;
const writeSync = fs.writeSync;
const wait = Atomics.wait;
const pause = new Int32Array(new SharedArrayBuffer(4));
const define = Object.defineProperty;
const { apply } = Reflect;
const { set } = Uint8Array.prototype;
const lengthOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'length').get;

// fs.writeSync looks this up each time it is called, and a replacement would be handed the frames.
define(process.binding('fs'), 'writeBuffer', { writable: false, configurable: false });

class Channel {
  #fd;
  #socket;
  #secret = null;
  #pending = alloc(0);
  onload = null;
  oninvoke = null;

  constructor(fd) {
    this.#fd = fd;
    this.#socket = new net.Socket({ fd, readable: true, writable: false });
    this.#socket.on('data', (chunk) => this.#take(chunk));
    this.#socket.on('end', () => process.reallyExit(0));
    this.#socket.on('error', () => process.reallyExit(0));
  }

  // hold says whether the channel keeps the event loop alive.
  hold(on) {
    if (on) this.#socket.ref();
    else this.#socket.unref();
  }

  #take(chunk) {
    let buf = this.#pending.length ? concat([this.#pending, chunk]) : chunk;
    while (buf.length >= HEAD) {
      const length = buf.readUInt32LE(8);
      if (buf.length < HEAD + length) break;
      this.#dispatch(buf[0], buf.readUInt32LE(4), buf.subarray(HEAD, HEAD + length));
      buf = buf.subarray(HEAD + length);
    }
    this.#pending = buf;
  }

  #dispatch(type, seq, payload) {
    if (type === IN.load && !this.#secret) {
      this.#secret = [...payload.subarray(0, SECRET)];
      payload.fill(0, 0, SECRET); // the function's code may see this memory again
      this.onload(parse(payload.utf8Slice(SECRET)));
    } else if (type === IN.invoke) {
      const metaLength = payload.readUInt32LE(0);
      const meta = parse(payload.utf8Slice(4, 4 + metaLength));
      this.oninvoke(seq, meta, payload.utf8Slice(4 + metaLength));
    }
  }

  // send writes one frame with a value as JSON.
  send(type, value, seq = 0) {
    this.sendText(type, stringify(value), seq);
  }

  // sendText writes one frame whose payload is JSON already. It returns when all of it is written:
  // the supervisor always reads.
  //
  // The function's code may have replaced any method or getter of any prototype, and one that is
  // called on the frame would be handed the secret: so the frame is filled by index and by captured
  // functions only.
  sendText(type, text, seq) {
    const payload = from(text, 'utf8');
    const length = apply(lengthOf, payload, []);
    const total = SECRET + HEAD + length;
    const frame = alloc(total);
    for (let i = 0; i < SECRET; i++) frame[i] = this.#secret[i];
    frame[SECRET] = OUT[type];
    for (let i = 0; i < 4; i++) {
      frame[SECRET + 4 + i] = (seq >>> (8 * i)) & 255;
      frame[SECRET + 8 + i] = (length >>> (8 * i)) & 255;
    }
    apply(set, frame, [payload, SECRET + HEAD]);
    define(frame, 'byteLength', { value: total }); // fs asks for it
    for (let done = 0; done < total;) {
      try {
        done += writeSync(this.#fd, frame, done, total - done, null);
      } catch (e) {
        if (e.code !== 'EAGAIN') return; // the supervisor is gone, and so are we in a moment
        wait(pause, 0, 0, 1);
      }
    }
  }
}

module.exports = { Channel };
