'use strict';
// The channel to the supervisor: frames over the socket that is file descriptor 3.
//
// From the supervisor: u8 type, 3 bytes 0, u32 sequence, u32 length (little endian), payload.
// To the supervisor: 16 bytes secret, then the same, but for the first 0: it is 1 in the last frame of
// an invocation. The secret comes with the load request, before any other code runs or, in a zygote's child,
// out of its sight; bytes that don't begin with it are not ours, and the supervisor skips them.
//
// The sequence names the invocation; several may be in flight. An answer is one result, error or toolarge,
// or a head, chunks and an end (or an error, which cuts it off). Bodies flow both ways within credit: each
// end may send as many bytes as the window says and then as many as it was granted.
const { Socket } = require('node:net');
const { readSync, writeSync } = require('node:fs');

const IN = { load: 1, invoke: 2, refused: 3, body: 4, bodyend: 5, credit: 6, cancel: 7 };
const OUT = { loaded: 1, failed: 2, result: 3, error: 4, fatal: 5, report: 6, toolarge: 7, head: 8, chunk: 9, end: 10, credit: 11, settled: 12 };
const HEAD = 12;
const SECRET = 16;
const START = SECRET + HEAD; // of a payload in a frame to the supervisor
const ROOM = 64 << 10; // bytes: a frame that fits costs no buffer of its own

// Captured before the function's code can replace them.
const { parse, stringify } = JSON;
const { from, alloc, allocUnsafeSlow } = Buffer;
const { copy, fill, utf8Slice, utf8Write } = Buffer.prototype;
const wait = Atomics.wait;
const pause = new Int32Array(new SharedArrayBuffer(4));
const define = Object.defineProperty;
const { apply } = Reflect;
const { set } = Uint8Array.prototype;
const getter = (name) => Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), name).get;
const [lengthOf, bufferOf, offsetOf] = ['length', 'buffer', 'byteOffset'].map(getter);
const Bytes = Uint8Array;

// fs.writeSync and fs.readSync look these up each time, and a replacement would be handed the frames.
for (const name of ['writeBuffer', 'read']) define(process.binding('fs'), name, { writable: false, configurable: false });

// number reads a u32.
function number(buf, at) {
  return (buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16 | buf[at + 3] << 24) >>> 0;
}

// own makes a buffer that fs can be given: fs asks for byteLength, which a getter of a prototype that
// the function's code may have replaced would answer.
function own(length) {
  return define(allocUnsafeSlow(length), 'byteLength', { value: length });
}

// readAll waits until a buffer is full.
function readAll(fd, bytes, length) {
  for (let done = 0; done < length;) {
    try {
      const n = readSync(fd, bytes, done, length - done, null);
      if (n === 0) process.reallyExit(0);
      done += n;
    } catch (e) {
      if (e.code !== 'EAGAIN') process.reallyExit(0);
      wait(pause, 0, 0, 1);
    }
  }
  return bytes;
}

// takeSecret takes the beginning of the first frame from a channel that is made where the function's code has run
// already. Until then nothing may be called that this code could have replaced: it would read the secret itself.
function takeSecret(fd) { readAll(fd, opening, START); }

const opening = own(START);

class Channel {
  #fd;
  #socket;
  #secret = null;
  #input = allocUnsafeSlow(ROOM);
  #output = own(ROOM);
  #part = null; // a frame, or the head of one, that has not come whole
  #have = 0; // bytes of it
  onload = null;
  oninvoke = null;
  onrefused = null;
  onbody = null; // of a request: bytes, or null at its end
  oncredit = null;
  oncancel = null;

  // first, if given, gets the request to load, of which takeSecret has taken the beginning.
  constructor(fd, first) {
    this.#fd = fd;
    if (first) {
      this.#keepSecret(opening, HEAD);
      const length = number(opening, 8) - SECRET;
      first(parse(apply(utf8Slice, readAll(fd, own(length), length), [0, length])));
    }
    const take = (n) => { this.#take(n); return true; };
    this.#socket = new Socket({ fd, readable: true, writable: false, onread: { buffer: this.#input, callback: take } });
    this.#socket.on('end', () => process.reallyExit(0));
    this.#socket.on('error', () => process.reallyExit(0));
    this.#socket.resume(); // or it would not notice the end
  }

  // hold says whether the channel keeps the event loop alive.
  hold(on) {
    if (on) this.#socket.ref();
    else this.#socket.unref();
  }

  // close gives the descriptor back, and then calls done.
  close(done) {
    this.#socket.once('close', done);
    this.#socket.destroy();
  }

  // take goes through what has come: n bytes of input. Nearly always they are one whole frame.
  #take(n) {
    const input = this.#input;
    for (let at = 0; at < n;) {
      const left = n - at;
      if (!this.#part) {
        const whole = left < HEAD ? HEAD : HEAD + number(input, at + 8);
        if (left >= whole) {
          this.#dispatch(input, at, at + whole);
          at += whole;
          continue;
        }
        this.#part = alloc(whole);
        this.#have = 0;
      }
      const part = this.#part;
      const end = at + Math.min(left, part.length - this.#have);
      this.#have += apply(copy, input, [part, this.#have, at, end]);
      at = end;
      if (this.#have < part.length) return;
      const whole = HEAD + number(part, 8);
      if (part.length < whole) { // it was the head alone
        this.#part = alloc(whole);
        apply(copy, part, [this.#part]);
      } else {
        this.#part = null;
        this.#dispatch(part, 0, whole);
      }
    }
  }

  // dispatch takes the frame in buf from at to end.
  #dispatch(buf, at, end) {
    const type = buf[at];
    const seq = number(buf, at + 4);
    at += HEAD;
    if (type === IN.load && !this.#secret) {
      this.#keepSecret(buf, at);
      const request = parse(apply(utf8Slice, buf, [at + SECRET, end]));
      apply(fill, this.#input, [0]); // the function's code may see this memory again
      apply(fill, buf, [0]);
      this.onload(request);
    } else if (type === IN.invoke) {
      const event = at + 4 + number(buf, at);
      const meta = parse(apply(utf8Slice, buf, [at + 4, event]));
      this.oninvoke(seq, meta, apply(utf8Slice, buf, [event, end]));
    } else if (type === IN.body) {
      const bytes = alloc(end - at);
      apply(copy, buf, [bytes, 0, at, end]);
      this.onbody(seq, bytes);
    } else if (type === IN.bodyend) {
      this.onbody(seq, null);
    } else if (type === IN.credit) {
      this.oncredit(seq, number(buf, at));
    } else if (type === IN.cancel) {
      this.oncancel(seq);
    } else if (type === IN.refused && this.onrefused) {
      this.onrefused(parse(apply(utf8Slice, buf, [at, end])));
    }
  }

  #keepSecret(buf, at) {
    const secret = allocUnsafeSlow(SECRET); // no setter of a prototype is called for its elements
    for (let i = 0; i < SECRET; i++) secret[i] = buf[at + i];
    this.#secret = secret;
  }

  // send writes one frame with a value as JSON.
  send(type, value, seq = 0) {
    this.sendText(type, stringify(value), seq);
  }

  // sendText writes one frame whose payload is JSON already; last says that the invocation is over. It
  // returns when all of it is written: the supervisor always reads.
  //
  // The function's code may have replaced any method or getter of any prototype, and one that is
  // called on the frame would be handed the secret: so the frame is filled by index and by captured
  // functions only.
  sendText(type, text, seq, last = false) {
    if (START + 3 * text.length > ROOM) return this.#sendLong(type, from(text, 'utf8'), seq, last); // a character is 3 bytes at most
    this.#write(this.#output, apply(utf8Write, this.#output, [text, START]), type, seq, last);
  }

  // sendBytes writes one frame with those bytes of an Uint8Array that lie from at to end.
  sendBytes(type, bytes, at, end, seq) {
    const part = new Bytes(apply(bufferOf, bytes, []), apply(offsetOf, bytes, []) + at, end - at);
    if (START + end - at > ROOM) return this.#sendLong(type, part, seq, false);
    apply(set, this.#output, [part, START]);
    this.#write(this.#output, end - at, type, seq, false);
  }

  #sendLong(type, payload, seq, last) {
    const length = apply(lengthOf, payload, []);
    const frame = own(START + length);
    apply(set, frame, [payload, START]);
    this.#write(frame, length, type, seq, last);
  }

  // write completes a frame whose payload of that length is in place, and writes it.
  #write(frame, length, type, seq, last) {
    const total = START + length;
    for (let i = 0; i < SECRET; i++) frame[i] = this.#secret[i];
    frame[SECRET] = OUT[type];
    frame[SECRET + 1] = last ? 1 : 0;
    for (let i = 0; i < 4; i++) {
      frame[SECRET + 4 + i] = (seq >>> (8 * i)) & 255;
      frame[SECRET + 8 + i] = (length >>> (8 * i)) & 255;
    }
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

module.exports = { Channel, takeSecret };
