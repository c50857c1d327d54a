'use strict';
// The runner with a fake channel: exactly one answer for each invocation, whatever a v1 handler does.
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { Runner } = require('../runner.cjs');

// start makes a runner; frames are what it sends, idle() is an empty event loop.
function start(handler, request = {}) {
  const frames = [];
  const waiting = [];
  const channel = {
    held: true,
    hold(on) { channel.held = on; },
    sendText(type, text, seq, last) {
      assert.equal(last, true);
      frames.push([type, type === 'toolarge' ? Number(text) : JSON.parse(text), seq]);
      while (waiting.length) waiting.pop()();
    },
  };
  const on = process.on;
  let idle;
  process.on = (name, f) => { assert.equal(name, 'beforeExit'); idle = f; }; // node:test needs the real one
  let runner;
  try {
    runner = new Runner({ form: 'v1', handler }, { functionName: 'fn', memoryMB: 128, logStreamName: 'stream', maxResult: 1000, window: 1000, ...request }, channel);
  } finally {
    process.on = on;
  }
  return {
    runner, frames, channel, idle,
    run: (seq, event = '{}', meta = { id: 'id-1', deadline: Date.now() + 60000 }) => runner.run(seq, meta, event),
    answered: () => new Promise((done) => waiting.push(done)),
  };
}

const settled = () => new Promise((done) => setImmediate(done));

test('the first answer counts, and only that', async () => {
  const r = start((e, c, cb) => {
    c.callbackWaitsForEmptyEventLoop = false;
    cb(null, 1);
    cb(null, 2);
    c.done(new Error('late'));
    c.succeed(3);
    return Promise.reject(new Error('later'));
  });
  r.run(7);
  await settled();
  r.idle();
  assert.deepEqual(r.frames, [['result', 1, 7]]);
});

test('an answer that comes too late does not answer the next invocation', async () => {
  const late = [];
  const r = start((e, c, cb) => { late.push(cb, c.done); if (e.n === 1) return Promise.resolve('one'); return new Promise(() => {}); });
  r.run(1, '{"n":1}');
  await r.answered();
  r.run(2, '{"n":2}');
  late[0](null, 'stale');
  late[1](null, 'stale');
  assert.deepEqual(r.frames, [['result', 'one', 1]]);
  late[3](null, 'two');
  assert.deepEqual(r.frames[1], ['result', 'two', 2]);
});

test('a callback waits for an empty event loop, unless told not to', () => {
  const r = start((e, c, cb) => cb(null, 'a'));
  r.run(1);
  assert.deepEqual(r.frames, []);
  r.idle();
  assert.deepEqual(r.frames, [['result', 'a', 1]]);
});

test('the first of two callbacks counts', () => {
  const r = start((e, c, cb) => { cb(null, 'first'); cb(new Error('second')); });
  r.run(1);
  r.idle();
  assert.deepEqual(r.frames, [['result', 'first', 1]]);
});

test('an empty event loop without an answer is null', () => {
  const r = start(() => new Promise(() => {}));
  r.run(1);
  r.idle();
  r.idle();
  assert.deepEqual(r.frames, [['result', null, 1]]);
});

test('the channel keeps the process alive between invocations only', async () => {
  const r = start(async () => 1);
  r.run(1);
  assert.equal(r.channel.held, false);
  await r.answered();
  assert.equal(r.channel.held, true);
});

test('several invocations at a time have an answer each', async () => {
  const waiting = {};
  const r = start((e) => new Promise((done) => { waiting[e.n] = done; }));
  r.run(1, '{"n":1}');
  r.run(2, '{"n":2}');
  waiting[2]('two');
  await r.answered();
  assert.equal(r.channel.held, false); // one is in flight still
  waiting[1]('one');
  await r.answered();
  assert.equal(r.channel.held, true);
  assert.deepEqual(r.frames, [['result', 'two', 2], ['result', 'one', 1]]);
});

test('an empty event loop and an error that ends the process answer all that is in flight', () => {
  for (const [end, want] of [[(r) => r.idle(), ['result', null]], [(r) => r.runner.fatal({ errorType: 'A' }), ['fatal', { errorType: 'A' }]]]) {
    const r = start(() => new Promise(() => {}));
    r.run(1);
    r.run(2);
    end(r);
    assert.deepEqual(r.frames, [[...want, 1], [...want, 2]]);
  }
});

test('errors of every style', async () => {
  for (const [handler, type, message] of [
    [() => { throw new TypeError('a'); }, 'TypeError', 'a'],
    [async () => { throw new TypeError('b'); }, 'TypeError', 'b'],
    [(e, c) => c.fail(new TypeError('c')), 'TypeError', 'c'],
    [(e, c) => c.fail(), 'Error', 'handled'],
    [(e, c) => c.done('d'), 'string', 'd'],
    [(e, c, cb) => { c.callbackWaitsForEmptyEventLoop = false; cb(0); }, 'number', '0'],
    [async () => { throw undefined; }, 'undefined', 'undefined'],
    [() => ({ get then() { throw new Error('then'); } }), 'Error', 'then'],
    [() => ({ then() { throw new Error('in then'); } }), 'Error', 'in then'],
    [async () => { const a = {}; a.a = a; return a; }, 'Runtime.MarshalError', /^what the handler gave can't be written as JSON: .*circular/],
    [async () => 1n, 'Runtime.MarshalError', /BigInt/],
    [async () => ({ toJSON() { throw new Error('gotcha'); } }), 'Runtime.MarshalError', /gotcha/],
  ]) {
    const r = start(handler);
    r.run(1);
    await settled();
    assert.equal(r.frames.length, 1, String(handler));
    const [kind, error] = r.frames[0];
    assert.equal(kind, 'error');
    assert.equal(error.errorType, type);
    assert.match(error.errorMessage, message instanceof RegExp ? message : new RegExp(`^${message}$`));
  }
});

test('an event that is no JSON is an error of the invocation', () => {
  const r = start(() => assert.fail('called'));
  r.run(1, '{');
  assert.equal(r.frames[0][0], 'error');
});

test('what JSON has no word for is null', async () => {
  for (const value of [undefined, () => 1, Symbol('s')]) {
    const r = start(async () => value);
    r.run(1);
    await r.answered();
    assert.deepEqual(r.frames, [['result', null, 1]]);
  }
});

test('an answer over the limit is told by its length only', async () => {
  for (const [length, kind] of [[998, 'result'], [999, 'toolarge']]) { // and two quotes
    const r = start(async () => 'x'.repeat(length));
    r.run(1);
    await r.answered();
    assert.equal(r.frames[0][0], kind);
  }
});

test('an error that ends the process answers what is in flight, once', async () => {
  const r = start(() => new Promise(() => {}));
  r.runner.fatal({ errorType: 'A' });
  assert.deepEqual(r.frames, []);
  r.run(5);
  r.runner.fatal({ errorType: 'B' });
  r.runner.fatal({ errorType: 'C' });
  r.idle();
  assert.deepEqual(r.frames, [['fatal', { errorType: 'B' }, 5]]);
});

test('the context is that of Lambda', async () => {
  let context;
  const r = start(async (e, c) => { context = c; });
  r.run(1, '{}', { id: 'id-9', deadline: Date.now() + 5000, clientContext: { user: 1 }, identity: null });
  await r.answered();
  const left = context.getRemainingTimeInMillis();
  assert.ok(left > 0 && left <= 5000, String(left));
  assert.deepEqual(JSON.parse(JSON.stringify(context)), {
    callbackWaitsForEmptyEventLoop: true, functionName: 'fn', functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:fn', memoryLimitInMB: '128', awsRequestId: 'id-9',
    logGroupName: '/aws/lambda/fn', logStreamName: 'stream', clientContext: { user: 1 },
  });
  r.run(2, '{}', { id: 'x', deadline: Date.now() - 5000 });
  await r.answered();
  assert.equal(context.getRemainingTimeInMillis(), 0);
});
