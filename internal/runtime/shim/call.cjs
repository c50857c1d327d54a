'use strict';
// One invocation, from its request to the moment when nothing of it goes on: its one answer, whole or in
// pieces, the body of its request and the promises that outlast the answer.
const { errorOf } = require('./errors.cjs');
const { Body } = require('./body.cjs');

const { stringify } = JSON;
const { byteLength } = Buffer;
const printError = console.error.bind(console);
const CHUNK = 48 << 10; // bytes of one piece of an answer at most

class Call {
  #runner; // { channel, window, maxResult, over(call), hold(±1) }
  #credit; // bytes that may be sent
  #resume = null; // goes on when there is credit again
  #controller = null;
  #promises = 0; // of what goes on beside the answer
  #over = false;
  answered = false;
  cancelled = false;
  oncancel = null;
  onidle = null; // what becomes of it when nothing is left that could answer
  body = null; // of the request, if it comes piece by piece

  constructor(seq, meta, runner) {
    this.seq = seq;
    this.meta = meta;
    this.#runner = runner;
    this.#credit = runner.window;
    if (meta.body) this.body = new Body((n) => runner.channel.send('credit', n, seq), runner.hold);
  }

  // signal aborts when nobody waits for the answer any more.
  get signal() {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  // result answers with a value.
  result(value) {
    if (this.answered) return;
    let text;
    try {
      text = stringify(value) ?? 'null';
    } catch (e) {
      const error = errorOf(e);
      error.errorType = 'Runtime.MarshalError';
      error.errorMessage = `what the handler gave can't be written as JSON: ${error.errorMessage}`;
      return this.#finish('error', stringify(error));
    }
    if (this.#exceeds(text)) return this.#finish('toolarge', String(text.length));
    this.#finish('result', text);
  }

  // error answers with what was thrown, or cuts off the answer that has begun.
  error(thrown) {
    if (!this.answered) this.#finish('error', stringify(errorOf(thrown)));
  }

  // head begins an answer in pieces.
  head(head) {
    if (this.answered) return;
    const text = stringify(head);
    if (this.#exceeds(text)) this.#finish('toolarge', String(text.length));
    else this.#runner.channel.sendText('head', text, this.seq);
  }

  // write sends a piece of the answer, and waits as long as the client does not keep up. After the end of
  // the answer, or if it is cancelled, there is nobody to send it to.
  async write(bytes) {
    for (let at = 0; at < bytes.length && !this.answered && !this.cancelled;) {
      const n = Math.min(bytes.length - at, this.#credit, CHUNK);
      if (n === 0) {
        this.#runner.hold(1);
        await new Promise((resume) => { this.#resume = resume; });
        this.#runner.hold(-1);
        continue;
      }
      this.#credit -= n;
      this.#runner.channel.sendBytes('chunk', bytes, at, at + n, this.seq);
      at += n;
    }
  }

  // end completes an answer in pieces.
  end() {
    if (!this.answered) this.#finish('end', '');
  }

  // fatal answers with an error that ends the process.
  fatal(error) {
    if (this.answered) return;
    this.answered = this.#over = true;
    this.#runner.channel.sendText('fatal', stringify(error), this.seq, true);
  }

  // credited takes the word that n more bytes may be sent.
  credited(n) {
    this.#credit += n;
    this.#goOn();
  }

  // cancel says that nobody waits for the answer any more.
  cancel() {
    if (this.cancelled) return;
    this.cancelled = true;
    this.#controller?.abort();
    this.body?.fail(new Error('the client is gone'));
    this.oncancel?.();
    this.#goOn();
  }

  // later keeps the invocation from being over until a promise is settled.
  later(promise) {
    this.#promises++;
    const done = () => { this.#promises--; this.#settle(); };
    Promise.resolve(promise).then(done, (e) => { printError(errorOf(e).trace.join('\n')); done(); });
  }

  // idle runs when the event loop is empty: what is not settled now never will be.
  idle() {
    if (!this.answered) this.onidle();
    this.#promises = 0;
    this.#settle();
  }

  // exceeds tells whether a text is too long in bytes. A character is 3 at most.
  #exceeds(text) {
    const max = this.#runner.maxResult;
    return text.length > max || 3 * text.length > max && byteLength(text) > max;
  }

  #goOn() {
    const resume = this.#resume;
    this.#resume = null;
    resume?.();
  }

  #finish(type, text) {
    this.answered = true;
    this.#goOn();
    if (this.#promises === 0) this.#close();
    this.#runner.channel.sendText(type, text, this.seq, this.#over);
  }

  // settle tells that all is over, if it is only now.
  #settle() {
    if (!this.answered || this.#over || this.#promises > 0) return;
    this.#close();
    this.#runner.channel.sendText('settled', '', this.seq, true);
  }

  #close() {
    this.#over = true;
    this.body?.abandon();
    this.#runner.over(this);
  }
}

module.exports = { Call };
