// Measures calls to example.com: inside the sandbox by name, on bare Node to a port of loopback.
const https = require('https');

function call(path, agent, port) {
  const where = port ? { host: '127.0.0.1', port, servername: 'example.com', headers: { host: 'example.com' } } : { host: 'example.com' };
  return new Promise((resolve, reject) => {
    https.get({ ...where, path, agent }, (res) => {
      if (res.statusCode !== 200) reject(new Error('status ' + res.statusCode));
      let n = 0;
      res.on('data', (d) => { n += d.length; });
      res.on('end', () => resolve(n));
      res.on('error', reject);
    }).on('error', reject);
  });
}

async function measure(port) {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 200; i++) await call('/small', agent, port);
  const times = [];
  for (let i = 0; i < 1000; i++) {
    const t = process.hrtime.bigint();
    await call('/small', agent, port);
    times.push(Number(process.hrtime.bigint() - t) / 1000);
  }
  times.sort((a, b) => a - b);
  const t = process.hrtime.bigint();
  const bytes = await call('/big', agent, port);
  const seconds = Number(process.hrtime.bigint() - t) / 1e9;
  if (bytes !== 100 * 1024 * 1024) throw new Error('got ' + bytes);
  agent.destroy();
  return { P50: times[500], P99: times[990], Rate: bytes / 1e6 / seconds };
}

exports.measure = measure;
exports.handler = async () => ({ statusCode: 200, body: JSON.stringify(await measure()) });
