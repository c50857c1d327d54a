'use strict';
// One invocation at a time: the handler's styles (async, callback, context.done and its kin), the
// context, and the one answer that counts. The rules are those of the AWS Lambda Node.js runtime.
const { errorOf } = require('./errors.cjs');

const { parse, stringify } = JSON;
const now = Date.now;
const apply = Reflect.apply;

class Runner {
  #handler;
  #request;
  #channel;
  #current = null;

  constructor(handler, request, channel) {
    this.#handler = handler;
    this.#request = request;
    this.#channel = channel;
    process.on('beforeExit', () => this.#idle());
  }

  run(seq, meta, eventText) {
    const call = { seq, settled: false, answer: null };
    this.#current = call;
    this.#channel.hold(false); // so that an empty event loop is noticed
    const context = this.#context(meta, call);
    try {
      const given = apply(this.#handler, undefined, [parse(eventText), context, (e, r) => this.#called(call, context, e, r)]);
      if (given !== null && typeof given === 'object' && typeof given.then === 'function') {
        given.then((r) => this.#settle(call, null, r), (e) => this.#settle(call, { thrown: e }));
      }
    } catch (e) {
      this.#settle(call, { thrown: e });
    }
  }

  // fatal answers the invocation in flight with an error that ends the process.
  fatal(error) {
    const call = this.#current;
    if (!call || call.settled) return;
    call.settled = true;
    this.#channel.sendText('fatal', stringify(error), call.seq);
  }

  #context(meta, call) {
    const r = this.#request;
    const done = (e, v) => this.#settle(call, e === null || e === undefined ? null : { thrown: e }, v);
    const context = {
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
      done,
      succeed: (v) => done(null, v),
      fail: (e) => done(e ?? new Error('handled')),
    };
    return context;
  }

  // called is the handler's callback: the answer waits until the event loop is empty unless the
  // context says otherwise.
  #called(call, context, e, result) {
    if (call.answer || call.settled) return;
    const error = e === null || e === undefined ? null : { thrown: e };
    if (context.callbackWaitsForEmptyEventLoop === false) this.#settle(call, error, result);
    else call.answer = { error, result };
  }

  // idle runs when the event loop is empty: a callback's answer is due, or there will be none.
  #idle() {
    const call = this.#current;
    if (!call || call.settled) return;
    if (call.answer) this.#settle(call, call.answer.error, call.answer.result);
    else this.#settle(call, null, null);
  }

  #settle(call, error, result) {
    if (call.settled) return;
    call.settled = true;
    this.#current = null;
    this.#channel.hold(true);
    if (error) return this.#channel.sendText('error', stringify(errorOf(error.thrown)), call.seq);
    let answer;
    try {
      answer = stringify(result) ?? 'null';
    } catch (e) {
      const error = errorOf(e);
      error.errorType = 'Runtime.MarshalError';
      error.errorMessage = `what the handler gave can't be written as JSON: ${error.errorMessage}`;
      return this.#channel.sendText('error', stringify(error), call.seq);
    }
    if (answer.length > this.#request.maxResult) return this.#channel.sendText('toolarge', String(answer.length), call.seq);
    this.#channel.sendText('result', answer, call.seq);
  }
}

module.exports = { Runner };
