'use strict';
// Invocations from their request to their handler, by the handler's form. For the first form that is here:
// its styles (async, callback, context.done and its kin), the context, and the one answer that counts. The
// rules are those of the AWS Lambda Node.js runtime.
const { isUtf8 } = require('node:buffer');
const { Call } = require('./call.cjs');
const { streams, runStream } = require('./lambda.cjs');
const { runFetch } = require('./fetch.cjs');

const { parse } = JSON;
const now = Date.now;
const apply = Reflect.apply;

class Runner {
  #handler;
  #run; // how its form is called
  #request;
  #channel;
  #calls = new Map(); // those that are not over, by their sequence
  #shared; // what every call needs of the runner
  #waits = 0; // calls that wait for the supervisor

  constructor({ form, handler }, request, channel) {
    this.#handler = handler;
    this.#run = streams(handler) ? runStream : form === 'v2' ? runFetch : runPlain;
    this.#request = request;
    this.#channel = channel;
    this.#shared = {
      channel,
      window: request.window,
      maxResult: request.maxResult,
      over: (call) => { this.#calls.delete(call.seq); this.#hold(); },
      hold: (n) => { this.#waits += n; this.#hold(); },
    };
    process.on('beforeExit', () => this.#idle());
  }

  run(seq, meta, eventText) {
    const call = new Call(seq, meta, this.#shared);
    this.#calls.set(seq, call);
    this.#hold();
    let event;
    try {
      event = parse(eventText);
    } catch (e) {
      return call.error(e);
    }
    const context = this.#context(meta);
    const run = () => this.#run(this.#handler, event, context, call);
    if (!call.body || this.#run === runFetch) return run();
    withBody(event, call.body).then(run, (e) => call.error(e));
  }

  // of gives the call that a frame is for; one that is over has no use for it.
  of(seq) { return this.#calls.get(seq); }

  // fatal answers what is in flight with an error that ends the process.
  fatal(error) {
    for (const call of this.#calls.values()) call.fatal(error);
  }

  // hold lets the process notice that its event loop is empty while calls are in flight, unless one of
  // them waits for the supervisor.
  #hold() {
    this.#channel.hold(this.#calls.size === 0 || this.#waits > 0);
  }

  #idle() {
    for (const call of [...this.#calls.values()]) call.idle();
  }

  #context(meta) {
    const r = this.#request;
    return {
      callbackWaitsForEmptyEventLoop: true,
      functionName: r.functionName,
      functionVersion: '$LATEST',
      invokedFunctionArn: `arn:aws:lambda:us-east-1:000000000000:function:${r.functionName}`,
      memoryLimitInMB: String(r.memoryMB),
      awsRequestId: meta.id,
      logGroupName: `/aws/lambda/${r.functionName}`,
      logStreamName: r.logStreamName,
      identity: meta.identity ?? undefined,
      clientContext: meta.clientContext ?? undefined,
      getRemainingTimeInMillis: () => Math.max(0, meta.deadline - now()),
    };
  }
}

// withBody puts the body that comes piece by piece into the event, as text or, if the event says so or it
// is none, in base64.
async function withBody(event, body) {
  const bytes = await body.whole();
  event.isBase64Encoded = event.isBase64Encoded === true || !isUtf8(bytes);
  event.body = bytes.toString(event.isBase64Encoded ? 'base64' : 'utf8');
}

// runPlain runs a handler that gives its answer as a value.
function runPlain(handler, event, context, call) {
  let late = null; // what a callback gave: it answers when the event loop is empty
  const answer = (e, result) => (e === null || e === undefined ? call.result(result) : call.error(e));
  context.done = answer;
  context.succeed = (v) => answer(null, v);
  context.fail = (e) => answer(e ?? new Error('handled'));
  const callback = (e, result) => {
    if (context.callbackWaitsForEmptyEventLoop === false) answer(e, result);
    else late ??= [e, result];
  };
  call.onidle = () => (late ? answer(...late) : call.result(null));
  try {
    const given = apply(handler, undefined, [event, context, callback]);
    if (given !== null && typeof given === 'object' && typeof given.then === 'function') {
      given.then((r) => call.result(r), (e) => call.error(e));
    }
  } catch (e) {
    call.error(e);
  }
}

module.exports = { Runner };
