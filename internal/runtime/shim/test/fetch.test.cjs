'use strict';
// Functions v2: what they get of a request, and what becomes of what they give.
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { start, get } = require('./client.cjs');

const v2 = (handler, options) => start({ form: 'v2', handler }, options);
const run = (handler, event = get(), meta) => v2(handler).run(event, meta);

test('a Response that is whole is one frame', async () => {
  const c = await run(() => new Response('hello', { status: 201, headers: { 'x-a': '1', 'content-type': 'text/plain' } }));
  assert.deepEqual(c.frames, ['result!']);
  assert.deepEqual(c.head, { statusCode: 201, headers: { 'content-type': 'text/plain', 'x-a': '1' }, body: 'hello', isBase64Encoded: false });
});

test('an event without a URL has the one of its path and query', async () => {
  const c = await run((request) => new Response(request.url), get('http://x.test/', { rawUrl: undefined, path: '/a', rawQuery: 'n=5' }));
  assert.equal(new URL(c.body).pathname + new URL(c.body).search, '/a?n=5');
});

test('a Response of bytes is in base64', async () => {
  const c = await run(() => new Response(new Uint8Array([255, 0, 128])));
  assert.deepEqual([c.frames, c.body, c.head.isBase64Encoded], [['result!'], '/wCA', true]);
});

test('a body that comes later is sent in pieces, the head at once', async () => {
  let go;
  const f = v2(() => new Response(new ReadableStream({ start(c) { go = () => { c.enqueue(Buffer.from('one')); setImmediate(() => { c.enqueue(Buffer.from(' two')); c.close(); }); }; } })));
  const c = f.begin(get());
  await c.until(() => c.frames.includes('head'));
  assert.equal(c.body, '');
  go();
  await c.settled;
  assert.equal(c.body, 'one two');
  assert.deepEqual(c.frames, ['head', 'chunk', 'chunk', 'end!']);
});

test('a large body is sent in pieces', async () => {
  const c = await run(() => new Response('x'.repeat(200_000)));
  assert.equal(c.body, 'x'.repeat(200_000));
  assert.equal(c.frames[0], 'head');
});

test('no more is sent than was granted, and the event loop is kept alive meanwhile', async () => {
  const f = v2(() => new Response('x'.repeat(250)), { window: 100 });
  const big = v2(() => new Response('x'.repeat(100_000)), { window: 70_000 });
  assert.equal((await f.run(get())).body.length, 250); // whole, in one frame
  const c = big.begin(get());
  await c.until(() => c.body.length === 70_000);
  await new Promise(setImmediate);
  assert.deepEqual([c.body.length, big.held], [70_000, true]);
  big.runner.of(c.seq).credited(10_000);
  await c.until(() => c.body.length === 80_000);
  big.runner.of(c.seq).credited(50_000);
  await c.settled;
  assert.equal(c.body.length, 100_000);
});

test('answers without a body', async () => {
  for (const [given, status] of [
    [undefined, 204], [new Response(null, { status: 204 }), 204], [new Response(null, { status: 304 }), 304], [new Response(), 200],
    [new Response(null, { status: 404 }), 404], [Response.redirect('http://other.test/', 307), 307],
  ]) {
    const c = await run(() => given);
    assert.deepEqual([c.frames, c.head.statusCode, c.body], [['result!'], status, '']);
  }
  const c = await run(() => Response.redirect('http://other.test/'));
  assert.equal(c.head.headers.location, 'http://other.test/');
});

test('a HEAD request has no body, and what would have made one is told', async () => {
  let cancelled = false;
  const c = await run(() => new Response(new ReadableStream({ cancel() { cancelled = true; } }), { headers: { 'content-length': '7' } }), get(undefined, { httpMethod: 'HEAD' }));
  assert.deepEqual([c.frames, c.head.headers['content-length'], cancelled], [['result!'], '7', true]);
});

test('what is no answer is an error that says so', async () => {
  const used = new Response('x');
  await used.text();
  const locked = new Response('x');
  locked.body.getReader();
  for (const [given, message] of [
    [null, /gave null; it must give a Response, or undefined$/], ['text', /a value of type string/], [{ statusCode: 200, body: 'v1' }, /a value of type object/],
    [Response.error(), /Response\.error\(\)/], [used, /read already/], [locked, /being read/],
    [new Response(new ReadableStream({ start(c) { c.enqueue(7); } })), /neither bytes nor text/],
  ]) {
    const c = await run(() => given);
    assert.deepEqual(c.frames, ['error!']);
    assert.equal(c.error.errorType, 'TypeError');
    assert.match(c.error.errorMessage, message);
  }
});

test('text, buffers and views in a body', async () => {
  const pieces = ['a', Buffer.from('b'), new Uint16Array([0x6363]), new TextEncoder().encode('d').buffer, new DataView(new Uint8Array([0, 101]).buffer, 1)];
  const c = await run(() => new Response(new ReadableStream({ start(s) { pieces.forEach((p) => s.enqueue(p)); s.close(); } })));
  assert.equal(c.body, 'abccde');
});

test('what is thrown is the answer, or cuts it off', async () => {
  for (const handler of [() => { throw new RangeError('no'); }, async () => { throw new RangeError('no'); },
    () => new Response(new ReadableStream({ pull() { throw new RangeError('no'); } }))]) {
    const c = await run(handler);
    assert.deepEqual([c.frames, c.error.errorType], [['error!'], 'RangeError']);
  }
  let n = 0;
  const c = await run(() => new Response(new ReadableStream({ pull(s) { if (n++) throw new RangeError('half'); s.enqueue(Buffer.alloc(40_000)); } })));
  assert.deepEqual([c.frames, c.error.errorMessage], [['head', 'chunk', 'error!'], 'half']);
});

test('a promise that nothing can settle is an error, not silence', async () => {
  for (const handler of [() => new Promise(() => {}), () => new Response(new ReadableStream({ pull: () => new Promise(() => {}) }))]) {
    const f = v2(handler);
    const c = f.begin(get());
    await new Promise(setImmediate);
    f.idle();
    await c.settled;
    assert.match(c.error.errorMessage, /nothing is left that could make it/);
  }
});

test('the Request is made of the event', async () => {
  let seen;
  const handler = async (r) => { seen = { method: r.method, url: r.url, a: r.headers.get('x-a'), cookie: r.headers.get('cookie'), body: await r.text() }; };
  await run(handler, get('http://site.test/p?q=1', { httpMethod: 'POST', body: 'tëxt', multiValueHeaders: { 'X-A': ['1', '2'], cookie: ['a=b', 'c=d'] } }));
  assert.deepEqual(seen, { method: 'POST', url: 'http://site.test/p?q=1', a: '1, 2', cookie: 'a=b; c=d', body: 'tëxt' });
  await run(handler, get(undefined, { httpMethod: 'PUT', body: '/w==', isBase64Encoded: true, headers: { 'x-a': 'single' }, multiValueHeaders: undefined }));
  assert.deepEqual([seen.method, seen.a, seen.body], ['PUT', 'single', '\ufffd']);
  await run(handler, get(undefined, { body: 'ignored' }));
  assert.deepEqual([seen.method, seen.body], ['GET', '']);
  await run(handler, {});
  assert.deepEqual([seen.method, new URL(seen.url).pathname], ['GET', '/']);
});

test('a header that no Request can have is left out', async () => {
  let seen;
  await run((r) => { seen = [...r.headers]; }, get(undefined, { multiValueHeaders: { 'x-bad': ['\u20ac'], 'x-good': ['1'], 'bad name': ['1'] } }));
  assert.deepEqual(seen, [['x-good', '1']]);
});

test('a method that no Request can have is an error', async () => {
  const c = await run(() => assert.fail('called'), get(undefined, { httpMethod: 'TRACE' }));
  assert.match(c.error.errorMessage, /TRACE/);
});

test('a body that comes piece by piece is read as far as it is wanted', async () => {
  const f = v2(async (r) => { const parts = []; for await (const p of r.body) parts.push(Buffer.from(p).toString()); return Response.json(parts); });
  const c = f.begin(get(undefined, { httpMethod: 'POST' }), { body: true });
  const { body } = f.runner.of(c.seq);
  body.push(Buffer.from('one'));
  await c.until(() => c.granted === 3);
  await new Promise(setImmediate);
  assert.equal(f.held, true);
  body.push(Buffer.from('three'));
  body.push(null);
  await c.settled;
  assert.deepEqual([c.body, c.granted, f.held], ['["one","three"]', 8, true]);
});

test('nothing is granted of a body that nobody reads', async () => {
  const f = v2(() => new Response('no'));
  const c = f.begin(get(undefined, { httpMethod: 'POST' }), { body: true });
  f.runner.of(c.seq).body.push(Buffer.from('x'));
  await c.settled;
  assert.deepEqual([c.body, c.granted], ['no', 0]);
});

test('who still waits when the invocation is over holds nothing up', async () => {
  const f = start({ form: 'v2', handler: (r) => (r.method === 'GET' ? new Promise(() => {}) : (r.text(), new Response('no'))) });
  await f.run(get(undefined, { httpMethod: 'POST' }), { body: true });
  f.begin(get());
  assert.equal(f.held, false);
});

test('a head over the limit is told by its length only', async () => {
  const c = await run(() => new Response('x'.repeat(40_000), { headers: { 'x-long': 'y'.repeat(1e6) } }));
  assert.deepEqual(c.frames, ['toolarge!']);
});

test('who cancels aborts the Request and its body', async () => {
  const seen = [];
  const f = v2(async (r) => {
    r.signal.addEventListener('abort', () => seen.push('abort'));
    await r.text().catch((e) => seen.push(e.message));
  });
  const c = f.begin(get(undefined, { httpMethod: 'POST' }), { body: true });
  await new Promise(setImmediate);
  f.runner.of(c.seq).cancel();
  await c.settled;
  assert.deepEqual(seen, ['abort', 'the client is gone']);
});

test('who cancels ends the body of the Response', async () => {
  const reasons = [];
  const f = v2(() => new Response(new ReadableStream({ pull(c) { c.enqueue(Buffer.alloc(50_000)); }, cancel(r) { reasons.push(r.name); } })), { window: 60_000 });
  const c = f.begin(get());
  await c.until(() => c.body.length === 60_000);
  f.runner.of(c.seq).cancel();
  await c.settled;
  assert.deepEqual([reasons, c.frames.at(-1)], [['AbortError'], 'end!']);
});

test('an object with fetch keeps its this', async () => {
  const { loadHandler } = require('../load.cjs');
  const fs = require('node:fs');
  const dir = fs.mkdtempSync(require('node:path').join(require('node:os').tmpdir(), 'fetch-'));
  try {
    fs.writeFileSync(dir + '/f.mjs', 'export default { text: "mine", fetch(r, c) { return new Response(this.text + c.url.pathname); } };');
    const c = await start(await loadHandler({ root: dir, entry: 'f.mjs', export: 'handler' })).run(get('http://site.test/p'));
    assert.equal(c.body, 'mine/p');
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
});
