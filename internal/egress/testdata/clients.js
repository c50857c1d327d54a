// Node's own clients against the egress: argv[2] is the port that every name leads to.
const dns = require('dns');
const here = (host, options, done) => {
  if (typeof options === 'function') [options, done] = [{}, options];
  if (options.all) return done(null, [{ address: '127.0.0.1', family: 4 }]);
  done(null, '127.0.0.1', 4);
};
dns.lookup = here;
const https = require('https'), http2 = require('http2');
const base = `https://api.test:${process.argv[2]}`;

const request = (path, options, body) => new Promise((resolve, reject) => {
  const r = https.request(base + path, options, (res) => {
    let text = '';
    const resumed = res.socket.isSessionReused();
    res.setEncoding('utf8').on('data', (d) => { text += d; }).on('end', () => resolve({ status: res.statusCode, text, reused: r.reusedSocket, resumed, trailers: res.trailers }));
  });
  r.on('error', reject);
  r.on('continue', () => r.end(body));
  if (!options.headers?.Expect) r.end(body);
});

const stream = () => new Promise((resolve, reject) => {
  const s = http2.connect(base);
  s.on('error', reject);
  const q = s.request({ ':method': 'POST', ':path': '/ok', te: 'trailers' });
  const seen = {};
  let text = '';
  q.on('headers', (h) => { seen.early = h[':status']; });
  q.on('response', (h) => { seen.status = h[':status']; });
  q.on('trailers', (h) => { seen.trailer = h['x-sum']; });
  q.on('data', (d) => { text += d; });
  q.on('end', () => { s.close(); resolve({ ...seen, text }); });
  q.on('error', reject);
  q.end('h2 body');
});

(async () => {
  const out = {};
  const agent = new https.Agent({ keepAlive: true });
  out.post = await request('/ok', { method: 'POST', agent }, 'body');
  out.again = await request('/ok', { method: 'POST', agent }, 'body');
  out.expect = await request('/ok', { method: 'POST', agent, headers: { Expect: '100-continue', 'Content-Length': 4 } }, 'body');
  agent.destroy();
  const second = new https.Agent({ maxCachedSessions: 10 });
  await request('/ok', { method: 'POST', agent: second }, 'x');
  out.resumed = await request('/ok', { method: 'POST', agent: second }, 'x');
  out.denied = await request('/denied', { method: 'POST' }, 'x'.repeat(300000));
  const f = await fetch(base + '/ok', { method: 'POST', body: 'fetched' });
  out.fetch = { status: f.status, text: await f.text() };
  const piped = await fetch(base + '/ok', { method: 'POST', duplex: 'half', body: new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('piped')); c.close(); } }) });
  out.piped = { status: piped.status, text: await piped.text() };
  const no = await fetch(base + '/denied');
  out.fetchDenied = { status: no.status, problem: await no.json() };
  out.http2 = await stream();
  console.log(JSON.stringify(out));
})().catch((e) => { console.error(e); process.exit(1); });
