'use strict';
// A response with the mark is an error of every client, and all else is as it was.
const { test, before, after } = require('node:test');
const assert = require('node:assert/strict');
const net = require('node:net');
const { spawn } = require('node:child_process');
const { Words } = require('../words.cjs');
const { watchResponses } = require('../http.cjs');

const looks = [net.Socket.prototype.connect, require('node:http2').connect].map((f) => [f.name, f.length]);
watchResponses(new Words({ mark: 'MARK' }));
const http = require('node:http'), http2 = require('node:http2');
const denied = { 'Weir-Denied': 'MARK {"detail":"GET x is not allowed","tried":"GET x","fix":"http = [x]"}' };
const is = { code: 'EWEIR', message: 'GET x is not allowed' };

const answers = {
  '/denied': [403, denied], '/forged': [403, { 'Weir-Denied': denied['Weir-Denied'].toLowerCase() }], '/forbidden': [403, {}],
  '/ok': [200, { b: '1', A: '2' }], '/marked': [200, denied], '/bad': [400, denied], '/gateway': [502, denied],
};
let connections = 0;
const server = http.createServer((req, res) => {
  const [status, headers] = answers[req.url];
  req.resume();
  res.writeHead(status, { 'Content-Length': req.method === 'HEAD' ? 0 : 4, ...headers }).end(req.method === 'HEAD' ? '' : 'body');
}).on('connection', () => connections++).on('connect', (req, socket) => {
  socket.end(`HTTP/1.1 400 Bad Request\r\nWeir-Denied: ${denied['Weir-Denied']}\r\nContent-Length: 0\r\n\r\n`);
});
const server2 = http2.createServer((req, res) => res.writeHead(...answers[req.url]).end('body'));
let base, base2;
before(async () => {
  for (const s of [server, server2]) await new Promise((resolve) => s.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
  base2 = `http://127.0.0.1:${server2.address().port}`;
});
after(() => { server.close(); server2.close(); server.closeAllConnections(); });

// ask gives what a request's caller sees.
const ask = (path, options = {}, body) => new Promise((resolve) => {
  const seen = { events: [] };
  const req = http.request(base + path, options, (res) => {
    seen.events.push('response');
    seen.status = res.statusCode;
    seen.headers = res.rawHeaders.slice(0, 6).join();
    seen.reused = req.reusedSocket;
    res.setEncoding('utf8').on('data', (d) => { seen.body = (seen.body ?? '') + d; });
  });
  req.on('error', (e) => { seen.events.push('error'); seen.error = e; });
  req.on('close', () => { seen.events.push('close'); resolve(seen); });
  req.end(body);
});

test('a refused request is an error and nothing else', async () => {
  for (const [path, options, body] of [['/denied'], ['/denied', { method: 'POST' }, 'x'.repeat(200_000)], ['/denied', { method: 'HEAD' }],
    ['/denied', { agent: new http.Agent({ keepAlive: true }) }], ['/bad'], ['/gateway']]) {
    const seen = await ask(path, options, body);
    assert.deepEqual(seen.events, ['error', 'close'], path);
    assert.equal(seen.error.code, is.code);
    assert.equal(seen.error.message, is.message);
  }
});

test('any other response is what it was', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (const [path, status, reused, headers] of [['/ok', 200, false, 'Content-Length,4,b,1,A,2'], ['/ok', 200, true, 'Content-Length,4,b,1,A,2'],
    ['/forged', 403, true], ['/forbidden', 403, true], ['/marked', 200, true]]) {
    const seen = await ask(path, { agent });
    assert.deepEqual([seen.events.join(), seen.status, seen.body, seen.reused], ['response,close', status, 'body', reused], path);
    if (headers) assert.equal(seen.headers, headers);
  }
  assert.equal((await ask('/denied', { agent })).error.code, 'EWEIR');
  assert.equal((await ask('/ok', { agent })).status, 200); // on a new connection
  agent.destroy();
});

test('where nobody listens for errors, a refusal is a response', async () => {
  const res = await new Promise((resolve) => http.get(base + '/denied', resolve));
  res.resume();
  assert.equal(res.statusCode, 403);
  const session = http2.connect(base2);
  const headers = await new Promise((resolve) => session.request({ ':path': '/denied' }).on('response', resolve).resume());
  assert.equal(headers[':status'], 403);
  session.close();
});

test('CONNECT', async () => {
  const e = await new Promise((resolve, reject) => {
    http.request(base, { method: 'CONNECT', path: 'x:443' }).on('error', resolve).on('connect', () => reject(new Error('connected'))).end();
  });
  assert.equal(e.code, 'EWEIR');
});

test('http2', async () => {
  const session = http2.connect(base2);
  const stream = (path) => new Promise((resolve, reject) => session.request({ ':path': path }).on('response', (h) => resolve(h[':status'])).on('error', reject).resume());
  await assert.rejects(stream('/denied'), is);
  assert.equal(await stream('/ok'), 200); // on the same session
  assert.equal(await stream('/forged'), 403);
  assert.equal(await stream('/marked'), 200);
  session.close();
});

test('fetch', async () => {
  const refused = (options) => assert.rejects(fetch(base + '/denied', options), (e) => {
    assert.deepEqual([e.name, e.message, e.cause.code, e.cause.message], ['TypeError', 'fetch failed', is.code, is.message]);
    return true;
  });
  await refused({ method: 'POST', body: 'x'.repeat(200_000) });
  await refused({ method: 'HEAD' });
  const before = connections;
  await refused();
  await refused();
  for (const [path, status] of [['/ok', 200], ['/forged', 403], ['/forbidden', 403], ['/marked', 200]]) {
    const res = await fetch(base + path);
    assert.deepEqual([res.status, await res.text()], [status, 'body']);
  }
  assert.equal(connections, before + 1, 'a refusal must not cost the connection');
});

// child runs a module in a process of its own, in which nothing has made a connection, and gives its output.
const child = (script) => new Promise((resolve) => {
  const head = `
    import { createRequire } from 'node:module';
    const require = createRequire(${JSON.stringify(__filename)});
    const { Words } = require('../words.cjs');
    const words = new Words({ mark: 'MARK' });
    require('../http.cjs').watchResponses(words);
    require('../net.cjs').watchRefusals(words);
    const [base, base2] = ${JSON.stringify([base, base2])};
    const loaded = () => process.moduleLoadList.filter((m) => /NativeModule (_http_client|https?|http2)$/.test(m)).length;
    const say = (e) => console.log(e.code ?? e[':status'] ?? e.statusCode);\n`;
  const p = spawn(process.execPath, ['--input-type=module', '-e', head + script]);
  let out = '';
  for (const s of [p.stdout, p.stderr]) s.on('data', (d) => { out += d; });
  p.on('close', () => resolve(out));
});

test('the clients are watched whenever and however they are loaded', async () => {
  const stream = `.request({ ':path': '/denied' }).on('response', say).on('error', (e) => { say(e); s.close(); }).resume();`;
  for (const script of [
    `const { get } = await import('node:http'); get(base + '/denied').on('response', say).on('error', say);`,
    `const { get } = require('http'); get(base + '/denied').on('response', say).on('error', say);`,
    `await import('node:https'); fetch(base + '/denied').then(say, (e) => say(e.cause));`,
    `import { connect } from 'node:http2'; const s = connect(base2); s` + stream,
    `const { connect } = require('http2'); const s = connect(base2); s` + stream,
    `const http2 = require('http2'); const socket = require('net').connect(new URL(base2).port, '127.0.0.1').on('connect', () => {
       const s = http2.connect(base2, { createConnection: () => socket }); s` + stream + '});',
    `await fetch(base + '/ok'); const s = require('http2').connect(base2); s` + stream,
  ]) {
    assert.equal(await child(script), 'EWEIR\n', script);
  }
});

test('the shim loads no client that the function does not', async () => {
  assert.equal(await child(`require('net').connect(1, '127.0.0.1').on('error', () => console.log(loaded()));`), '0\n');
});

test('functions keep their looks', () => {
  assert.deepEqual([net.Socket.prototype.connect, http2.connect].map((f) => [f.name, f.length]), looks);
});
