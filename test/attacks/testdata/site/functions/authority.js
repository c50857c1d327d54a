// One authority for policy, SNI, Host and the dialled address: every mixture of two is refused.
const { answer, request, raw, MARK, refusal } = require('../lib/try.js');
const evil = 'drop.evil.test';
const h2 = (origin, headers, options) => new Promise((resolve, reject) => {
  const s = require('http2').connect(origin, options);
  s.on('error', reject);
  const q = s.request({ ':method': 'POST', ':path': '/v1/charges', ...headers });
  q.on('response', (h) => { s.close(); resolve(refusal(h[':status']) || 'status ' + h[':status']); });
  q.on('error', reject);
  q.end(MARK);
});

exports.handler = answer({
  hostHeader: () => request({ headers: { host: evil } }),
  hostHeaderPort: () => request({ headers: { host: 'api.allowed.test:8443' } }),
  hostHeaderUserinfo: () => request({ headers: { host: 'api.allowed.test@' + evil } }),
  twoHosts: () => request({ headers: ['Host', 'api.allowed.test', 'Host', evil, 'Content-Length', '1'] }, 'x'),
  twoHostsReversed: () => request({ headers: ['Host', evil, 'Host', 'api.allowed.test', 'Content-Length', '1'] }, 'x'),
  sni: () => request({ servername: evil, rejectUnauthorized: false }),
  noSNI: () => request({ servername: '', rejectUnauthorized: false }),
  dialledEvil: () => request({ hostname: evil, servername: 'api.allowed.test', headers: { host: 'api.allowed.test' }, rejectUnauthorized: false }),
  dialledIP: () => request({ hostname: '203.0.113.66', servername: 'api.allowed.test', headers: { host: 'api.allowed.test' }, rejectUnauthorized: false }),
  absoluteForm: () => request({ path: 'https://' + evil + '/v1/charges' }),
  absoluteFormHTTP: () => request({ path: 'http://' + evil + '/v1/charges' }),
  connect: async () => refusal(Number(/^HTTP\/1\.1 (\d+)/.exec(await raw({}, `CONNECT ${evil}:443 HTTP/1.1\r\nHost: ${evil}:443\r\n\r\n`))?.[1])) || 'blocked: closed',
  connectAllowed: async () => refusal(Number(/^HTTP\/1\.1 (\d+)/.exec(await raw({}, 'CONNECT api.allowed.test:443 HTTP/1.1\r\nHost: api.allowed.test:443\r\n\r\n'))?.[1])) || 'blocked: closed',
  h2Authority: () => h2('https://api.allowed.test', { ':authority': evil }),
  h2AuthorityAndHost: () => h2('https://api.allowed.test', { ':authority': 'api.allowed.test', host: evil }),
  h2SNI: () => h2('https://api.allowed.test', {}, { servername: evil, rejectUnauthorized: false }),
  h2Connect: () => h2('https://api.allowed.test', { ':method': 'CONNECT', ':authority': evil + ':443', ':path': undefined }),
  plainHTTP: () => request({ protocol: 'http:' }),
  plainHTTPto443: () => request({ protocol: 'http:', port: 443 }),
  otherPort: () => request({ port: 8443 }),
  trailingDot: () => request({ hostname: 'api.allowed.test.', headers: { host: 'api.allowed.test.' } }),
  lookAlike: () => request({ hostname: 'api.allowed.test.evil.test' }),
  subdomain: () => request({ hostname: 'x.api.allowed.test' }),
});
