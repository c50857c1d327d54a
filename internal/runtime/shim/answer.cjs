'use strict';
// An answer that is written piece by piece. One that is short and complete before anything else happens
// is sent whole, as a handler without streaming gives it: that is a single frame.
const soon = setImmediate;
const never = clearImmediate;
const { isUtf8 } = require('node:buffer');
const { utf8Slice, base64Slice } = Buffer.prototype;
const apply = Reflect.apply;
const SMALL = 32 << 10; // bytes

class Answer {
  #call;
  #head = null;
  #parts = []; // what is written and not sent
  #size = 0;
  #timer = null;
  #sent = false; // the head

  constructor(call) {
    this.#call = call;
  }

  get started() { return this.#head !== null; }

  // start says what stands before the body: statusCode, headers and multiValueHeaders.
  start(head) {
    this.#head = head;
    this.#timer = soon(() => this.#open());
  }

  // write sends a piece, an Uint8Array, and waits as long as the client does not keep up.
  async write(bytes) {
    if (!this.#sent && this.#size + bytes.length <= SMALL) {
      this.#parts.push(Buffer.from(bytes));
      this.#size += bytes.length;
      return;
    }
    this.#open();
    await this.#call.write(bytes);
  }

  end() {
    never(this.#timer);
    if (this.#sent) return this.#call.end();
    const body = Buffer.concat(this.#parts);
    const base64 = !isUtf8(body);
    this.#call.result({ ...this.#head, body: apply(base64 ? base64Slice : utf8Slice, body, [0, body.length]), isBase64Encoded: base64 });
  }

  // fail answers with an error, or cuts off what has begun.
  fail(thrown) {
    never(this.#timer);
    this.#call.error(thrown);
  }

  // open sends the head and what was written so far, which is within the credit that every call has.
  #open() {
    if (this.#sent) return;
    never(this.#timer);
    this.#sent = true;
    this.#call.head(this.#head);
    for (const part of this.#parts) this.#call.write(part);
    this.#parts = null;
  }
}

module.exports = { Answer };
