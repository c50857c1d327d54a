// Runs cases of the acceptance corpus against Weir and prints one JSON verdict a line.
//
//   node drive.mjs CORPUS WEIR WORK [--user UID] [--learned] [--running TOML] [--forked] [KIND/NAME ...]
//
// --running adds lines to what weir.toml says of the function, such as runtime = "nodejs24". With --forked every
// case is run, its instances are ended, and it is run again by instances forked from a zygote; both runs count.
//
// With --learned the policies are not the corpus's but learned from a run in monitor mode: a legitimate
// case must then work behind what was learned, and an attack must have left no rule for its thief.
//
// What the outside sees is the corpus's own sink; the verdict on an attack is the corpus's own
// evaluate(). This file only turns a case into a site and talks to `weir dev`.
import fs from 'node:fs';
import path from 'node:path';
import net from 'node:net';
import { spawn, execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { createInterface } from 'node:readline';
import { siteOf, resolves } from './site.mjs';
import { checkLegit } from './legit.mjs';
import { review, thievery } from './learned.mjs';

const argv = process.argv.slice(2);
const [corpus, weir, work] = argv.splice(0, 3).map((p) => path.resolve(p));
const u = argv.indexOf('--user');
const uid = u >= 0 ? Number(argv.splice(u, 2)[1]) : undefined;
const l = argv.indexOf('--learned');
const learned = l >= 0 && argv.splice(l, 1).length > 0;
const r = argv.indexOf('--running');
const running = r >= 0 ? argv.splice(r, 2)[1] : '';
const z = argv.indexOf('--forked');
const forked = z >= 0 && argv.splice(z, 1).length > 0;
process.env.ACCEPTANCE_WORK = '/tmp/acceptance-work'; // the attacks name paths below it
const lib = (f) => import(pathToFileURL(path.join(corpus, 'lib', f)));
const { startSink, pki, seen, HOST } = await lib('sink.mjs');
const { evaluate, responseStillOk } = await lib('evaluate.mjs');
const hosts = JSON.parse(fs.readFileSync(path.join(corpus, 'lib/hosts.json'), 'utf8'));
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

const read = (p) => { try { return fs.readFileSync(p, 'utf8'); } catch { return ''; } };
const children = (pid) => { try { return fs.readdirSync(`/proc/${pid}/task`).flatMap((t) => read(`/proc/${pid}/task/${t}/children`).split(' ').filter(Boolean).map(Number)); } catch { return []; } };
const below = (pid) => children(pid).flatMap((c) => [c, ...below(c)]);
const cmdline = (pid) => read(`/proc/${pid}/cmdline`).replace(/\0/g, ' ').trim();
const rss = (pid) => Number(/VmHWM:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] || 0) / 1024;
const du = (dir) => { let n = 0; try { for (const f of fs.readdirSync(dir, { recursive: true })) { const s = fs.lstatSync(path.join(dir, f)); if (s.isFile()) n += s.size; } } catch { /* not there */ } return n / 1048576; };

// install runs npm ci once for each case that has a lock file; later runs find it done.
function install(src, name) {
  if (!fs.existsSync(path.join(src, 'package-lock.json'))) return src;
  const dir = path.join(work, 'installed', name);
  if (!fs.existsSync(path.join(dir, '.done'))) {
    fs.rmSync(dir, { recursive: true, force: true });
    fs.cpSync(src, dir, { recursive: true, verbatimSymlinks: true });
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'], { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] });
    fs.writeFileSync(path.join(dir, '.done'), '');
  }
  return dir;
}

// state is the server's state directory, with the key that signs its records.
const state = path.join(work, uid === undefined ? 'state' : `state-${uid}`);

// serve starts `weir dev` on the site and waits until it is ready.
async function serve(site, c, log, ...flags) {
  const args = ['dev', site, '--port', '0', '--env-file', path.join(site, '..', 'env'), '--records', path.join(site, '..', 'records.jsonl'), '--upstream-ca', pki().ca, ...resolves(hosts), ...flags];
  fs.mkdirSync(state, { recursive: true });
  if (uid !== undefined) fs.chownSync(state, uid, uid);
  const child = spawn(weir, args, { env: { PATH: process.env.PATH, HOME: path.join(HOST, 'home'), WEIR_STATE_DIR: state, ...c.hostEnv }, uid, gid: uid, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.on('data', (d) => { log.bytes += d.length; if (log.text.length < 200000) log.text += d; });
  child.once('exit', () => { log.exited = true; });
  for await (const line of createInterface({ input: child.stdout })) {
    const m = /^ready (http:\/\/\S+)$/.exec(line);
    if (m) return { child, url: m[1] };
  }
  throw new Error(`weir dev ended before it was ready:\n${log.text}`);
}

async function invoke(url, event, context, timeoutMs) {
  const started = Date.now();
  try {
    const r = await fetch(`${url}/2015-03-31/functions/f/invocations`, { method: 'POST', body: JSON.stringify(event), signal: AbortSignal.timeout(timeoutMs), headers: context?.clientContext ? { 'x-amz-client-context': Buffer.from(JSON.stringify(context.clientContext)).toString('base64') } : {} });
    const value = await r.json();
    const out = r.status !== 200 || r.headers.get('x-amz-function-error')
      ? { ok: false, error: { name: value.errorType, message: value.errorMessage ?? JSON.stringify(value) } }
      : { ok: true, response: value };
    if (out.response?.headers) out.rawHeaders = Object.fromEntries(Object.entries(out.response.headers).map(([k, v]) => [k.toLowerCase(), String(v)]));
    return { ...out, ms: Date.now() - started };
  } catch (e) {
    return { timeout: e.name === 'TimeoutError', ok: false, error: { name: e.name, message: e.message }, ms: Date.now() - started };
  }
}

// place puts the files of a case's set-up where they belong.
function place(c, expand) {
  fs.rmSync(path.join(HOST, 'home'), { recursive: true, force: true });
  fs.rmSync(path.join(HOST, 'secrets'), { recursive: true, force: true });
  fs.mkdirSync(path.join(HOST, 'home'), { recursive: true });
  for (const f of c.setup?.files || []) {
    const p = expand(f.path);
    fs.mkdirSync(path.dirname(p), { recursive: true });
    fs.writeFileSync(p, f.content, { mode: f.mode ? parseInt(f.mode, 8) : 0o644 });
    if (uid !== undefined) fs.chownSync(p, uid, uid); // the thief's best case: the files are the user's own
  }
}

// observe follows the processes below Weir: what they are called and how much they use.
function observe(o, pid) {
  const t = setInterval(() => {
    const ps = below(pid).filter((p) => !/^weir-init/.test(cmdline(p)));
    o.procs = Math.max(o.procs, ps.length);
    for (const p of ps) {
      const line = cmdline(p);
      if (line && !o.cmdlines.includes(line)) o.cmdlines.push(line);
      o.rss = Math.max(o.rss, rss(p));
      if (fs.existsSync(`/proc/${p}/root/var/task`)) o.instance = p;
    }
  }, 60);
  return () => clearInterval(t);
}

async function invokeAll(list, url, c, site, src, o) {
  for (const [i, x] of list.entries()) {
    if (x.cold && i) { fs.appendFileSync(path.join(site, 'functions/f/index.js'), '\n'); await sleep(1500); } // a change reloads
    if (x.afterMs) await sleep(x.afterMs);
    o.responses.push(await invoke(url, eventOf(x, src), x.context, c.bare?.invokeTimeoutMs || 15000));
  }
}

// fork waits for a zygote, if the function gets one, and ends the instances that are none of its.
async function fork(child) {
  const nodes = () => below(child.pid).filter((p) => /main\.cjs/.test(cmdline(p)));
  const isZygote = (p) => / zygote\b/.test(cmdline(p));
  for (let tries = 0; tries < 50 && !nodes().some(isZygote); tries++) await sleep(100);
  for (const p of nodes().filter((n) => !isZygote(n))) { try { process.kill(p, 'SIGKILL'); } catch { /* gone */ } }
  await sleep(500);
}

async function run(kind, name) {
  const src = path.join(corpus, kind, name);
  const c = JSON.parse(fs.readFileSync(path.join(src, 'case.json'), 'utf8'));
  const base = path.join(work, 'run', name);
  fs.rmSync(base, { recursive: true, force: true });
  const site = siteOf(c, install(src, name), base, running);
  if (uid !== undefined) for (const f of ['', 'site', 'env']) fs.chownSync(path.join(base, f), uid, uid);
  const o = { obs: sink.obs, responses: [], cmdlines: [], survivors: [], procs: 0, rss: 0, openPorts: [], before: {} };
  o.expand = (s) => s.replace(/\$\{(\w+)\}/g, (_, k) => ({ BUNDLE: path.join(site, 'functions/f'), TMP: `/proc/${o.instance}/root/tmp`, HOME: path.join(HOST, 'home'), HOST, RUNTIME: path.join(base, 'runtime') })[k]);
  place(c, o.expand);
  sink.reset(c.sink);
  const stops = [];
  for (const m of c.mocks || []) stops.push(await (await import(pathToFileURL(path.join(src, m)))).start());
  for (const p of c.expect?.filesMustBeUnchanged || []) o.before[p] = read(o.expand(p));
  const sentinel = c.setup?.sentinel ? spawn('/usr/bin/sleep', [c.setup.sentinel], { uid, gid: uid, stdio: 'ignore' }) : null;
  sentinel?.once('exit', () => { o.sentinelDied = true; });

  const log = { bytes: 0, text: '' };
  if (learned) {
    const bad = await learn(kind, c, site, src, log);
    if (bad.length || kind === 'attacks') return { kind, name, ok: bad.length === 0, bad, debug: bad.length ? { log: log.text.slice(-3000), policy: read(path.join(site, 'weir.toml')) } : undefined };
    sink.reset(c.sink);
  }
  const { child, url } = await serve(site, c, log);
  const stopObserving = observe(o, child.pid);
  const list = invocationsOf(c);
  await invokeAll(list, url, c, site, src, o);
  if (forked) {
    await fork(child);
    o.responses = [];
    await invokeAll(list, url, c, site, src, o);
    o.forked = read(path.join(base, 'records.jsonl')).includes('"start":"zygote"');
  }
  await sleep(c.settleMs || 700);
  for (const p of c.expect?.hostPortMustNotListen || []) await new Promise((r) => { const s = net.connect(p, '127.0.0.1', () => { o.openPorts.push(p); s.destroy(); r(); }).on('error', r); });
  o.tmp = du(o.expand('${TMP}'));
  o.log = log.text; // as bytes for the size limit below, as text for what must not be in it
  o.supervisorDied = !!log.exited;
  o.response = Math.max(0, ...o.responses.map((r) => String(r.response?.body ?? '').length / 1048576));
  const effects = kind === 'attacks' ? evaluate(c, o) : [];
  const family = below(child.pid);
  stopObserving();
  await stop(child);
  o.survivors = family.filter((p) => fs.existsSync(`/proc/${p}`)).map(cmdline);
  sentinel?.kill();
  stops.forEach((f) => f?.());
  const bad = kind === 'attacks' ? attackFaults(c, o, effects, log) : legitFaults(c, o, list);
  if (o.survivors.length) bad.push(`processes survived: ${o.survivors}`);
  return { kind, name, ok: bad.length === 0, bad, forked: o.forked, debug: bad.length ? { responses: o.responses.map((r) => JSON.stringify(r).slice(0, 800)), log: log.text.slice(-3000), obs: o.obs.slice(0, 20).map((x) => `${x.kind}/${x.role}:${x.port} ${x.method || ''} ${x.target || ''}`) } : undefined };
}

const invocationsOf = (c) => c.invocations || [{ event: c.event || { httpMethod: 'POST', path: '/.netlify/functions/f', headers: {}, body: '{}' } }];

function eventOf(x, src) {
  const ev = x.eventFile ? JSON.parse(read(path.join(src, x.eventFile))) : { ...x.event };
  if (x.bodyRepeat) ev.body = x.bodyRepeat.chunk.repeat(x.bodyRepeat.times);
  return ev;
}

// learn runs the case twice in monitor mode and puts what was learned, as a reviewer would accept it, in the
// place of the corpus's policy. It gives what is wrong with it.
async function learn(kind, c, site, src, log) {
  const policy = path.join(site, 'weir.toml');
  const limits = read(policy).split('\n').filter((line) => /^(\[functions|limits)/.test(line)).join('\n');
  fs.writeFileSync(policy, `${limits}\n`);
  const records = [1, 2].map((n) => path.join(site, '..', `learn-${n}.jsonl`));
  for (const file of records) {
    const { child, url } = await serve(site, c, log, '--learn', '--records', file);
    for (const x of invocationsOf(c)) {
      if (x.afterMs) await sleep(x.afterMs);
      await invoke(url, eventOf(x, src), x.context, c.bare?.invokeTimeoutMs || 15000);
    }
    await sleep(c.settleMs || 700);
    await stop(child);
  }
  const args = ['policy', 'learn', site, ...records.flatMap((f) => ['--records', f])];
  const env = { PATH: process.env.PATH, WEIR_STATE_DIR: state };
  const proposed = execFileSync(weir, args, { encoding: 'utf8', env, uid, gid: uid, stdio: ['ignore', 'pipe', 'pipe'] });
  fs.writeFileSync(policy, kind === 'legit' ? review(proposed, c) : proposed);
  return kind === 'attacks' ? thievery(proposed, c, hosts) : [];
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((r) => child.once('exit', r));
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 8000);
  await gone;
  clearTimeout(late);
}

function attackFaults(c, o, effects, log) {
  const bad = effects.filter((e) => e.violated && e.key !== 'maxLogMb').map((e) => `${e.key} ${e.what}`);
  if (c.expect?.maxLogMb !== undefined && log.bytes / 1048576 > c.expect.maxLogMb) bad.push(`maxLogMb ${log.bytes}`);
  if (responseStillOk(c, o) === false) bad.push(`the function no longer answers: ${JSON.stringify(o.responses[c.expect.responseMustStillBe.invocation || 0]).slice(0, 300)}`);
  return bad;
}

function legitFaults(c, o, list) {
  const bad = list.flatMap((x, i) => checkLegit(x.expect || {}, o.responses[i]).map((m) => `#${i} ${m}`));
  for (const s of c.expect?.sinkMustReceive || []) if (!seen(o.obs, s)) bad.push(`sink did not receive ${JSON.stringify(s)}`);
  return bad;
}

const sink = await startSink();
for (const p of argv) {
  const [kind, name] = p.split('/');
  let v;
  try { v = await run(kind, name); } catch (e) { v = { kind, name, ok: false, bad: [`runner: ${e.stack}`] }; }
  console.log(JSON.stringify(v));
}
sink.close();
process.exit(0);
