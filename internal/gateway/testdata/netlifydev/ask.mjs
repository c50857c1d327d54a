// Asks a netlify dev that serves the site of site.txtar, and prints its answers:
//   netlify dev --offline --internal-disable-edge-functions --port 8888
//   node ask.mjs 8888 > answers.json
import http from 'node:http';
const [port] = process.argv.slice(2);
const reqs = ['/old','/old/','/old?x=1','/old-302','/slash','/slash/','/splat','/splat/a/b?c=d','/news/1/2/3','/q?id=5','/q','/q2?a=1','/q2?a=2','/ext','/ext?x=1','/ext-splat/a/b','/withq?z=1',
 '/both','/toml','/toml-q?id=7','/rw','/rw-pretty','/rw-dir','/shadow','/shadow-r','/forced-r','/forced','/nf','/gone','/fn/a?x=1','/fn','/fnq/5','/fnq/5?y=2','/fn2/7?a=b','/c2/x/y','/custom/9',
 ['/cc','nf_country=de'],['/cc','nf_country=us'],['/lang','nf_lang=fr'],['/lang','nf_lang=en'],['/cookie','seen=1'],'/cookie','/case','/Case','/deep/1','/deep/new/1','/api/hello?q=1','/hash','/encoded/%20a%2Fb','/none-rw','/spa/x/y','/','/about','/about/','/about.html','/blog','/blog/','/nothing','/data.json','/bad','/bad2','/.netlify/functions/hello?a=1','POST /old','POST /fn/x','HEAD /about','/about?x=1','/index.html','/blog/index','/..%2f','/_redirects','/_headers'];
const out = {};
for (const item of reqs) {
  let [p, cookie] = [item].flat(); let method = 'GET';
  const m = /^([A-Z]+) (.*)$/.exec(p); if (m) { method = m[1]; p = m[2]; }
  const r = await new Promise((res, rej) => { const q = http.request({ host: 'localhost', port, path: p, method, headers: { host: `localhost:${port}`, ...(cookie && { cookie }) } }, (x) => { let b = ''; x.on('data', (d) => b += d); x.on('end', () => res({ s: x.statusCode, h: x.headers, b })); }); q.on('error', rej); q.setTimeout(20000, () => q.destroy(new Error('slow'))); q.end(); }).catch((e) => ({ s: 0, h: {}, b: String(e) }));
  out[(method === 'GET' ? '' : method + ' ') + p + (cookie ? ' ' + cookie : '')] = [r.s, (r.h.location || '').replaceAll(port, 'PORT'), r.b.trim().slice(0, 150).replaceAll(port, 'PORT'), ['x-toml','x-both','x-file','x-blog','cache-control','content-type'].map((k) => r.h[k] || '-').join(' | ')];
}
console.log(JSON.stringify(out, null, 0).replaceAll('],"', '],\n"'));
