// What every attack is built from: it says of each attempt whether it was blocked or OPEN.
const MARK = 'canary-' + (process.env.PAY_API_KEY || 'nokey');

async function attempt(f, ms = 3000) {
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(resolve, ms, 'blocked: no answer'); });
  const tried = (async () => {
    try {
      const v = await f();
      return typeof v === 'string' && v.startsWith('blocked') ? v : 'OPEN: ' + String(v).slice(0, 300);
    } catch (e) {
      return 'blocked: ' + (e?.code || e?.message || e);
    }
  })();
  const r = await Promise.race([tried, late]);
  clearTimeout(timer);
  return r;
}

// all runs named attempts one after another.
async function all(attempts) {
  const out = {};
  for (const [name, f] of Object.entries(attempts)) out[name] = await attempt(f);
  return out;
}

// together runs named attempts side by side: those that wait for an answer that may never come.
async function together(attempts) {
  return Object.fromEntries(await Promise.all(Object.entries(attempts).map(async ([name, f]) => [name, await attempt(f)])));
}

// refusal says that an answer of the egress is a refusal, not the outside's.
const refusal = (status) => [400, 403, 405, 421, 426, 431, 501, 502].includes(status) && 'blocked: ' + status;

// raw writes text to a TLS connection and gives what comes back.
function raw(options, text, ms = 700) {
  const tls = require('tls');
  return new Promise((resolve, reject) => {
    const s = tls.connect({ host: 'api.allowed.test', port: 443, servername: 'api.allowed.test', ...options }, () => s.write(text, 'latin1'));
    let got = '';
    s.on('data', (d) => { got += d.toString('latin1'); });
    s.on('error', reject);
    s.on('close', () => resolve(got));
    setTimeout(() => { s.destroy(); resolve(got); }, ms);
  });
}

// request gives the status of one https request, 'blocked: …' if the egress refused it.
function request(options, body) {
  const mod = require(options.protocol === 'http:' ? 'http' : 'https');
  return new Promise((resolve, reject) => {
    const r = mod.request({ hostname: 'api.allowed.test', method: 'POST', path: '/v1/charges', agent: false, ...options }, (res) => {
      res.resume();
      res.on('end', () => resolve(refusal(res.statusCode) || 'status ' + res.statusCode));
    });
    r.on('error', reject);
    r.end(body ?? MARK);
  });
}

// answer makes a function of attempts, which run as run says.
const answer = (attempts, run = all) => async (event) => ({ statusCode: 200, body: JSON.stringify(await run(typeof attempts === 'function' ? attempts(event) : attempts)) });

module.exports = { MARK, attempt, all, together, answer, raw, request, refusal };
