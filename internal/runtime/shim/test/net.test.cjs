'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const dgram = require('node:dgram');
const dns = require('node:dns');
const net = require('node:net');
const { domainToASCII } = require('node:url');
const { Words } = require('../words.cjs');

const shape = (o) => Object.fromEntries(Object.getOwnPropertyNames(o).filter((k) => typeof o[k] === 'function').map((k) => [k, [o[k].name, o[k].length]]));
const places = [dns, dns.promises, dns.Resolver.prototype, dns.promises.Resolver.prototype, net.Socket.prototype, { send: dgram.Socket.prototype.send, connect: dgram.Socket.prototype.connect }];
const before = places.map(shape);
const words = new Words({ mark: 'MARK' });
const major = Number(process.versions.node.split('.')[0]);
require('../net.cjs').watchRefusals(words);

test('functions keep their looks', () => {
  Object.assign(places.at(-1), { send: dgram.Socket.prototype.send, connect: dgram.Socket.prototype.connect });
  assert.deepEqual(places.map(shape), before);
  assert.equal(require('node:dns/promises'), dns.promises);
});

// reset connects to a server that calls told with the client's port and resets the connection.
const reset = (told, write) => new Promise((resolve) => {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    told(socket.remotePort);
    socket.resetAndDestroy();
  }).listen(0, '127.0.0.1', () => {
    const events = [];
    const socket = net.connect(server.address().port, '127.0.0.1');
    if (write) socket.on('connect', () => { const timer = setInterval(() => socket.write('x'), 1); socket.on('close', () => clearInterval(timer)); });
    socket.on('error', (e) => events.push(e)).on('close', (hadError) => {
      server.close();
      assert.equal(hadError, true);
      assert.equal(events.length, 1);
      assert.equal(socket.errored, events[0]);
      resolve(events[0]);
    });
    socket.resume();
  });
});

test('a connection that was reset says why, if it was Weir', async () => {
  for (const write of [false, true]) {
    const e = await reset((port) => words.heard({ port, message: 'tcp://db:1 is not allowed', tried: 'db:1' }), write);
    assert.deepEqual([e.code, e.message, e.weir.tried], ['EWEIR', 'tcp://db:1 is not allowed', 'db:1']);
    const other = await reset((port) => words.heard({ port: port + 1, message: 'no', tried: 'no' }), write);
    assert.ok(['ECONNRESET', 'EPIPE'].includes(other.code) && !other.weir, other.code);
  }
});

test('the words may be read in the next turn of the event loop', async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await new Promise((resolve) => server.on('listening', resolve));
  const socket = net.connect(server.address().port, '127.0.0.1');
  await new Promise((resolve) => socket.on('connect', resolve));
  const port = socket.localPort;
  const failed = new Promise((resolve) => socket.on('error', resolve));
  socket.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
  setImmediate(() => words.heard({ port, message: 'late', tried: 't' }));
  assert.equal((await failed).message, 'late');
});

test('a connection that ends well or is not made is as it was', async () => {
  const server = net.createServer((socket) => socket.end('bye'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  const text = await new Promise((resolve) => net.connect(port, '127.0.0.1').on('data', (d) => resolve(String(d))));
  assert.equal(text, 'bye');
  await new Promise((resolve) => server.close(resolve));
  const e = await new Promise((resolve) => net.connect(port, '127.0.0.1').on('error', resolve));
  assert.equal(e.code, 'ECONNREFUSED');
});

test('a question that was refused says why, if it was Weir', async (t) => {
  let told = true;
  const server = dgram.createSocket('udp4').on('message', (query, from) => {
    const type = query.readUInt16BE(query.length - 4);
    if (told) {
      for (const type of [1, 2, 15, 16, 33, 255]) words.heard({ type, name: 'a.test', message: `${type} refused`, tried: String(type) });
      for (const name of ['1.2.0.192.in-addr.arpa', `1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`]) words.heard({ type: 12, name, message: '12 refused', tried: '12' });
    }
    const answer = Buffer.concat([query.subarray(0, 2), Buffer.from([0x81, 0x85, 0, 1, 0, 0, 0, 0, 0, 0]), query.subarray(12)]);
    server.send(answer, from.port, from.address);
  });
  await new Promise((resolve) => server.bind(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = `127.0.0.1:${server.address().port}`;
  dns.setServers([address]); // makes new functions of dns
  dns.promises.setServers([address]);
  const resolver = new dns.Resolver();
  resolver.setServers([address]);
  const called = (f) => new Promise((resolve) => f(resolve));
  for (const [ask, type] of [
    [() => called((done) => dns.resolveTxt('a.test', done)), 16], [() => called((done) => dns.resolve('A.test', 'MX', done)), 15],
    [() => called((done) => resolver.resolve4('a.test', done)), 1], [() => called((done) => dns.resolveAny('a.test', done)), 255],
    [() => dns.promises.resolveNs('a.test').catch((e) => e), 2], [() => dns.promises.resolveSrv('a.test').catch((e) => e), 33],
  ]) {
    told = true;
    const e = await ask();
    assert.deepEqual([e.code, e.message, e.hostname.toLowerCase()], ['EWEIR', `${type} refused`, 'a.test']);
  }
  for (const [ask, address] of [ // c-ares gives ENOTFOUND for these
    [() => called((done) => dns.reverse('192.0.2.1', done)), '192.0.2.1'], [() => dns.promises.reverse('192.0.2.1').catch((e) => e), '192.0.2.1'],
    [() => called((done) => resolver.reverse('2001:db8::1', done)), '2001:db8::1'],
  ]) {
    const e = await ask();
    assert.deepEqual([e.code, e.message, e.hostname], ['EWEIR', '12 refused', address]);
  }
  told = false;
  for (const [ask, type, name] of [ // as they are asked for
    [() => dns.promises.resolveSrv('Bücher.test').catch((e) => e), 33, 'xn--bcher-kva.test'], [() => called((done) => dns.resolveTxt('ａ.test', done)), 16, 'a.test'],
    ...(major < 22 ? [[() => dns.promises.resolveMx('a.test\0.b').catch((e) => e), 15, 'a.test']] : []), // newer ones refuse it
    [() => dns.promises.resolve4('xn--a.test').catch((e) => e), 1, domainToASCII('xn--a.test')],
  ]) {
    words.heard({ type, name, message: `${name} refused`, tried: name });
    const e = await ask();
    assert.deepEqual([e.code, e.message], ['EWEIR', `${name} refused`]);
  }
  for (const [ask, types] of [[(done) => dns.lookup('-a.invalid', done), [1, 28]], [(done) => net.connect(1, '-a.invalid').on('error', done), [28]]]) {
    for (const type of types) words.heard({ type, name: '-a.invalid', message: `${type} refused`, tried: '-a' });
    const e = await called(ask);
    assert.deepEqual([e.code, e.message, e.syscall], ['EWEIR', `${types[0]} refused`, 'getaddrinfo']);
  }
  words.question(new Error(), 16, 'a.test'); // what was heard more than once
  const e = await called((done) => dns.resolveTxt('a.test', done));
  assert.equal(e.code, 'EREFUSED');
});

test('a datagram that the kernel refused says why', async (t) => {
  const udp = dgram.createSocket('udp4');
  t.after(() => udp.close());
  const told = new Words({ mark: 'MARK', files: { udp: { place: '[functions.f] in weir.toml' } } });
  const refused = () => Object.assign(new Error('send EPERM 192.0.2.1:443'), { syscall: 'send', code: 'EPERM', errno: -1, address: '192.0.2.1', port: 443 });
  for (const [host, fix] of [['api.test', 'udp = ["api.test:443"]'], ['2001:db8::1', 'udp = ["[2001:db8::1]:443"]'], ['bücher.test', undefined]]) {
    const e = refused();
    told.datagram(e, host, 443);
    assert.deepEqual([e.code, e.weir.fix, e.message.includes(fix ?? 'to allow it')], ['EWEIR', fix, fix !== undefined]);
  }
  // 255.255.255.255 needs SO_BROADCAST: the kernel says EACCES as of a refused datagram
  const e = await new Promise((resolve) => udp.send('x', 9, '255.255.255.255', resolve));
  assert.deepEqual([e.code, e.weir.tried], ['EWEIR', '255.255.255.255:9']);
});
