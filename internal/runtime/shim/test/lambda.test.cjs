'use strict';
// Handlers that write to a stream, as AWS Lambda calls them.
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { start } = require('./client.cjs');
const { installLambda } = require('../lambda.cjs');

installLambda();
const stream = (handler, options) => start({ form: 'stream', handler: awslambda.streamifyResponse(handler) }, options);

test('the handler gets event, stream and context', async () => {
  let seen;
  const c = await stream(async (event, out, context) => { seen = [event, context.awsRequestId, context.functionName]; out.end('x'); }).run({ a: 1 });
  assert.deepEqual(seen, [{ a: 1 }, 'id-1', 'fn']);
  assert.deepEqual(c.head, { statusCode: 200, headers: { 'content-type': 'application/octet-stream' }, body: 'x', isBase64Encoded: false });
});

test('HttpResponseStream.from says what stands before the body', async () => {
  const c = await stream(async (event, out) => {
    const http = awslambda.HttpResponseStream.from(out, { statusCode: 418, headers: { 'x-a': '1', 'x-nf-start-timestamp': '1' }, multiValueHeaders: { 'x-b': ['1', '2'], 'X-Nf-Invocation-Metadata': ['1'] }, cookies: ['a=b'] });
    http.write('one ');
    http.end('two');
  }).run();
  assert.deepEqual([c.head.statusCode, c.head.headers, c.head.multiValueHeaders, c.body], [418, { 'x-a': '1' }, { 'x-b': ['1', '2'], 'set-cookie': ['a=b'] }, 'one two']);
});

test('setContentType', async () => {
  const c = await stream(async (event, out) => { out.setContentType('text/plain'); out.end(); }).run();
  assert.deepEqual([c.head.headers, c.body], [{ 'content-type': 'text/plain' }, '']);
});

test('what is piped waits for credit', async () => {
  let made = 0;
  const f = stream((event, out) => pipeline(Readable.from((async function* () { for (; made < 40; made++) yield Buffer.alloc(10_000); })()), out), { window: 50_000 });
  const c = f.begin();
  await c.until(() => c.body.length === 50_000);
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  assert.ok(made < 30, `${made} pieces were made`); // those on their way and those that streams hold themselves
  f.runner.of(c.seq).credited(1e6);
  await c.settled;
  assert.equal(c.body.length, 400_000);
});

test('an error before the head is the answer, one after it cuts it off', async () => {
  const first = await stream(async () => { throw new RangeError('early'); }).run();
  assert.deepEqual([first.head, first.error.errorMessage], [undefined, 'early']);
  const sync = await stream(() => { throw new RangeError('sync'); }).run();
  assert.equal(sync.error.errorMessage, 'sync');
  const later = await stream(async (event, out) => { out.write('x'.repeat(40_000)); await new Promise(setImmediate); throw new RangeError('late'); }).run();
  assert.deepEqual([later.head.statusCode, later.error.errorMessage], [200, 'late']);
  const destroyed = await stream(async (event, out) => { out.on('error', () => {}); out.destroy(new RangeError('destroyed')); }).run();
  assert.equal(destroyed.error.errorMessage, 'destroyed');
});

test('an error while a piece waits for credit holds nothing up', async () => {
  let fail;
  const f = stream((event, out) => new Promise((resolve, reject) => { fail = reject; if (event.big) out.write('x'.repeat(200_000)); }), { window: 50_000 });
  const c = f.begin({ big: true });
  await c.until(() => c.body.length === 50_000);
  fail(new RangeError('enough'));
  assert.equal((await c.settled).error.errorMessage, 'enough');
  f.begin({});
  await new Promise(setImmediate);
  assert.equal(f.held, false);
});

test('the invocation is over when the handler is, too', async () => {
  let done;
  const f = stream((event, out) => { out.end('x'); return new Promise((r) => { done = r; }); });
  const c = f.begin();
  await c.until(() => c.frames.length > 0);
  await new Promise(setImmediate);
  assert.deepEqual(c.frames, ['result']);
  done();
  assert.deepEqual((await c.settled).frames, ['result', 'settled!']);
});

test('a stream that nothing can end is an error', async () => {
  for (const write of [() => {}, (out) => out.write('x'.repeat(40_000))]) {
    const f = stream(async (event, out) => write(out));
    const c = f.begin();
    await new Promise(setImmediate);
    f.idle();
    assert.match((await c.settled).error.errorMessage, /was not ended/);
  }
});

test('who cancels closes the stream', async () => {
  const seen = [];
  const f = stream((event, out) => new Promise((done) => {
    out.on('close', () => { seen.push('close'); done(); });
    out.write('x'.repeat(200_000), (e) => seen.push(e?.code ?? 'written'));
  }), { window: 100_000 });
  const c = f.begin();
  await c.until(() => c.body.length === 100_000);
  f.runner.of(c.seq).cancel();
  await c.settled;
  assert.ok(seen.includes('close'), String(seen));
});

test('a pipeline that is cancelled fails, and its source is closed', async () => {
  let closed = false;
  const source = new Readable({ read() { this.push(Buffer.alloc(50_000)); }, destroy(e, cb) { closed = true; cb(e); } });
  let error;
  const f = stream((event, out) => pipeline(source, out).catch((e) => { error = e; }), { window: 60_000 });
  const c = f.begin();
  await c.until(() => c.body.length === 60_000);
  f.runner.of(c.seq).cancel();
  await c.settled;
  assert.deepEqual([error.code, closed], ['ERR_STREAM_PREMATURE_CLOSE', true]);
});
