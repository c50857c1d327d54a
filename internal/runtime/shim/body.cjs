'use strict';
// The body of a request that comes piece by piece. What has come and was not read waits here; the
// supervisor sends no more of it than it was granted.

class Body {
  #grant;
  #hold;
  #parts = [];
  #ended = false;
  #error = null;
  #wake = null; // of who waits for more

  // grant(n) lets the supervisor send n more bytes; hold(±1) keeps the event loop alive meanwhile.
  constructor(grant, hold) {
    this.#grant = grant;
    this.#hold = hold;
  }

  // push takes a piece, or null for the end.
  push(bytes) {
    if (bytes === null) this.#ended = true;
    else this.#parts.push(bytes);
    this.#wake?.();
  }

  // fail says that no more of the body will come.
  fail(error) {
    this.#error ??= error;
    this.#wake?.();
  }

  // abandon says that nobody minds any more: who still waits for the body waits forever, and who reads what has come
  // gets no more for it.
  abandon() {
    if (this.#wake) this.#hold(-1);
    this.#hold = this.#grant = () => {};
  }

  // next gives the next piece, null at the end.
  async next() {
    while (this.#parts.length === 0) {
      if (this.#ended) return null;
      if (this.#error) throw this.#error;
      this.#hold(1);
      await new Promise((wake) => { this.#wake = wake; });
      this.#wake = null;
      this.#hold(-1);
    }
    const part = this.#parts.shift();
    this.#grant(part.length);
    return part;
  }

  // whole gives all of it.
  async whole() {
    const parts = [];
    for (let part = await this.next(); part !== null; part = await this.next()) parts.push(part);
    return Buffer.concat(parts);
  }

  // stream gives the body as Request takes it. It is read only as far as somebody wants it.
  stream() {
    return new ReadableStream({
      pull: async (controller) => {
        const part = await this.next();
        if (part) controller.enqueue(part);
        else controller.close();
      },
    }, { highWaterMark: 0 });
  }
}

module.exports = { Body };
