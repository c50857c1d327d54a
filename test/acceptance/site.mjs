// A case of the corpus as a Netlify site with one function, f, and a weir.toml.
import fs from 'node:fs';
import path from 'node:path';

const q = JSON.stringify; // TOML's basic strings take JSON's escapes
const list = (xs) => `[${xs.map(q).join(', ')}]`;

// files turns the corpus's file grants into rules; the bundle is always readable.
function files(grants) {
  return grants.filter((g) => !g.startsWith('${BUNDLE}')).map((g) => g.replace('${TMP}', '/tmp')).map((g) => (g === '/tmp' ? '/tmp/**' : g));
}

function policyOf(c, running) {
  const p = c.policy;
  const out = ['[functions.f]', `http = ${list(p.outboundHttp.map((r) => `${r.method} ${r.url}`))}`, `tcp = ${list(p.tcp || [])}`, `read = ${list(files(p.fs?.read || []))}`, `write = ${list(files(p.fs?.write || []))}`, `exec = ${list(p.exec || [])}`, `env = ${list(p.env || [])}`, `addons = ${!!p.addons}`];
  const l = c.limits || {};
  const limits = [l.timeoutMs && `timeout = "${l.timeoutMs}ms"`, l.memoryMb && `memory = "${l.memoryMb}MB"`, l.pids && `processes = ${l.pids}`, l.tmpMb && `tmp = "${l.tmpMb}MB"`, l.logMb && `log = "${l.logMb}MB"`, l.responseMb && `response = "${l.responseMb}MB"`].filter(Boolean);
  if (limits.length) out.push(`limits = { ${limits.join(', ')} }`);
  if (running) out.push(running);
  return out.join('\n') + '\n';
}

// siteOf writes the site below base and gives its folder. The file of variables is base/env; running are more
// lines for the function in weir.toml.
export function siteOf(c, src, base, running) {
  const site = path.join(base, 'site');
  const f = path.join(site, 'functions/f');
  fs.mkdirSync(f, { recursive: true });
  fs.cpSync(src, f, { recursive: true, verbatimSymlinks: true });
  for (const own of ['case.json', '.done']) fs.rmSync(path.join(f, own), { force: true });
  fs.writeFileSync(path.join(site, 'netlify.toml'), '[functions]\ndirectory = "functions"\nincluded_files = ["functions/f/**"]\n');
  fs.writeFileSync(path.join(site, 'weir.toml'), policyOf(c, running));
  fs.writeFileSync(path.join(base, 'env'), Object.entries(c.env || {}).map(([k, v]) => `${k}='${v}'\n`).join(''));
  return site;
}

// resolves maps the corpus's names to its loopback addresses, so that only policy stands between.
export function resolves(hosts) {
  return Object.entries({ ...hosts.names, ...hosts.ipMap }).flatMap(([n, a]) => ['--resolve', `${n}=${a}`]);
}
