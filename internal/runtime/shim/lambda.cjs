'use strict';
// Handlers that AWS Lambda calls with a stream to write to: awslambda.streamifyResponse(handler), which
// stream() of @netlify/functions and the bundles of Netlify's own build are made with.
const { Writable } = require('node:stream');
const { Answer } = require('./answer.cjs');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming'); // AWS's own mark
const own = ['x-nf-invocation-metadata', 'x-nf-start-timestamp']; // headers that Netlify's code tells its platform
const apply = Reflect.apply;

// ResponseStream is what such a handler writes its answer to.
class ResponseStream extends Writable {
  #answer;
  #head = { statusCode: 200, headers: { 'content-type': 'application/octet-stream' } };

  constructor(answer) {
    super();
    this.#answer = answer;
  }

  setContentType(type) {
    this.#head = { ...this.#head, headers: { ...this.#head.headers, 'content-type': type } };
  }

  static from(stream, { statusCode, headers, multiValueHeaders, cookies } = {}) {
    const multi = without(multiValueHeaders);
    if (cookies) multi['set-cookie'] = [...cookies];
    stream.#head = { statusCode: statusCode ?? 200, headers: without(headers), multiValueHeaders: multi };
    return stream;
  }

  _write(chunk, encoding, done) {
    if (!this.#answer.started) this.#answer.start(this.#head);
    this.#answer.write(chunk).then(() => done(), done);
  }

  _final(done) {
    if (!this.#answer.started) this.#answer.start(this.#head);
    this.#answer.end();
    done();
  }

  _destroy(error, done) {
    this.#answer.fail(error ?? new Error('the response stream was destroyed before its end'));
    done(error);
  }
}

function without(headers) {
  return Object.fromEntries(Object.entries(headers ?? {}).filter(([name]) => !own.includes(name.toLowerCase())));
}

// installLambda makes the global that AWS gives to functions.
function installLambda() {
  globalThis.awslambda = {
    streamifyResponse(handler) {
      handler[STREAMING] = 'response';
      return handler;
    },
    HttpResponseStream: { from: ResponseStream.from },
  };
}

// streams tells whether a handler writes its answer to a stream.
function streams(handler) {
  return handler[STREAMING] === 'response';
}

// runStream runs such a handler. The invocation is over when the stream has ended and the handler, too.
function runStream(handler, event, context, call) {
  const stream = new ResponseStream(new Answer(call));
  call.oncancel = () => stream.destroy();
  call.onidle = () => call.error(new Error('the response stream was not ended, and nothing is left that could end it'));
  const failed = (e) => call.answered ? Promise.reject(e) : call.error(e);
  try {
    const given = apply(handler, undefined, [event, stream, context]);
    call.later(Promise.resolve(given).catch(failed));
  } catch (e) {
    call.error(e);
  }
}

module.exports = { installLambda, streams, runStream };
