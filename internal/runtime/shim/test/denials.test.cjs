'use strict';
// The wrappers of fs and child_process report refusals, and are otherwise not to be noticed.
const { test, beforeEach } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const util = require('node:util');
const cp = require('node:child_process');

const shape = (o) => Object.fromEntries(Object.keys(o).filter((k) => typeof o[k] === 'function')
  .map((k) => [k, [o[k].name, o[k].length, Reflect.ownKeys(o[k]).map(String).sort().filter((n) => !['prototype', 'arguments', 'caller'].includes(n))]]));
const before = { fs: shape(fs), promises: shape(fs.promises), cp: shape(cp), originalOpen: fs.openSync };

const reports = [];
const explained = new Map(); // by error: what it was explained as
require('../denials.cjs').watchDenials((kind, target, errno) => reports.push(`${kind} ${target} ${errno}`),
  (e, kind, target) => explained.set(e, `${kind} ${target}`));
require('node:module').syncBuiltinESMExports();
beforeEach(() => { reports.length = 0; explained.clear(); });

test('functions keep their names, lengths and properties', () => {
  assert.notEqual(fs.openSync, before.originalOpen);
  assert.deepEqual(shape(fs), before.fs);
  assert.deepEqual(shape(fs.promises), before.promises);
  assert.deepEqual(shape(cp), before.cp);
  assert.equal(require('node:fs/promises'), fs.promises);
});

test('util.promisify still knows the functions with a promise form of their own', async () => {
  assert.equal(await util.promisify(fs.exists)('/no/such'), false);
  assert.equal(await util.promisify(fs.exists)(__filename), true);
  await assert.rejects(util.promisify(fs.readFile)('/no/such'), { code: 'ENOENT' });
  assert.match(await util.promisify(fs.readFile)(__filename, 'utf8'), /promisify/);
  const { stdout } = await util.promisify(cp.execFile)(process.execPath, ['-p', '1']);
  assert.equal(stdout, '1\n');
});

test('calls that succeed give what they gave, and no report', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'denials-'));
  const file = path.join(dir, 'f');
  try {
    fs.writeFileSync(file, 'x');
    await fs.promises.appendFile(file, 'y');
    assert.equal(fs.readFileSync(file, 'utf8'), 'xy');
    await new Promise((done) => fs.readdir(dir, (e, names) => { assert.deepEqual([e, names], [null, ['f']]); done(); }));
    const fd = fs.openSync(file);
    fs.closeSync(fd);
    const handle = await fs.promises.open(file);
    await handle.close();
    for await (const entry of await fs.promises.opendir(dir)) assert.equal(entry.name, 'f');
    let streamed = '';
    for await (const chunk of fs.createReadStream(file)) streamed += chunk;
    assert.equal(streamed, 'xy');
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
  assert.deepEqual(reports, []);
});

test('refusals are reported once in every style and the error stays the same', async () => {
  const error = { code: 'ENOENT', errno: -2, path: '/no/such' };
  assert.throws(() => fs.readFileSync('/no/such'), error);
  await assert.rejects(fs.promises.readFile('/no/such'), error);
  await new Promise((done) => fs.readFile('/no/such', (e) => { assert.equal(e.code, 'ENOENT'); done(); }));
  await assert.rejects(async () => { for await (const _ of fs.createReadStream('/no/such')); }, error);
  assert.deepEqual(reports, Array(4).fill('read /no/such ENOENT'));
  assert.deepEqual([...explained.values()], Array(4).fill('read /no/such'));
});

test('what was to be written is reported as a write', async () => {
  assert.throws(() => fs.writeFileSync('/no/such/a', ''));
  assert.throws(() => fs.openSync('/no/such/b', 'a'));
  assert.throws(() => fs.openSync('/no/such/c', fs.constants.O_RDWR));
  assert.throws(() => fs.mkdirSync('/no/such/d'));
  assert.throws(() => fs.copyFileSync(__filename, '/no/such/e'));
  await assert.rejects(fs.promises.unlink('/no/such/f'));
  assert.deepEqual(reports, ['a', 'b', 'c', 'd', 'e', 'f'].map((n) => `write /no/such/${n} ENOENT`));
});

test('what no rule could allow is not reported', () => {
  for (const file of ['/tmp/no/such', '/var/task/no', '/x/package.json', '/proc/no', '/etc/ssl/no']) assert.throws(() => fs.readFileSync(file));
  assert.throws(() => fs.readFileSync('/'), { code: 'EISDIR' });
  assert.throws(() => fs.readFileSync(7777), { code: 'EBADF' });
  assert.throws(() => fs.readFileSync({}), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.deepEqual(reports, []);
});

test('programs that can not be started are reported', async () => {
  const explanation = (e) => { assert.equal(e.code, 'ENOENT'); return explained.get(e); };
  const thrown = (f) => { try { f(); } catch (e) { return e; } };
  assert.equal(explanation(await new Promise((done) => cp.spawn('/no/such/program').on('error', done))), 'exec /no/such/program');
  assert.equal(explanation(thrown(() => cp.execFileSync('/no/such/other'))), 'exec /no/such/other');
  assert.equal(explanation(cp.spawnSync('/no/such/third').error), 'exec /no/such/third');
  assert.deepEqual([...new Set(reports)], ['program', 'other', 'third'].map((n) => `exec /no/such/${n} ENOENT`));
});

test('a program that fails is no refusal', () => {
  assert.throws(() => cp.execFileSync(process.execPath, ['-e', 'process.exit(3)'], { stdio: 'ignore' }), { status: 3 });
  assert.equal(cp.spawnSync(process.execPath, ['-e', '1']).status, 0);
  assert.deepEqual(reports, []);
});

test('a package may patch fs as graceful-fs does', async () => {
  const original = fs.readFile;
  const calls = [];
  function readFile(file, options, cb) {
    if (typeof options === 'function') [cb, options] = [options, null];
    calls.push(file);
    return original.call(fs, file, options, cb);
  }
  Object.setPrototypeOf(readFile, original);
  fs.readFile = readFile;
  try {
    const text = await new Promise((done, fail) => fs.readFile(__filename, 'utf8', (e, r) => (e ? fail(e) : done(r))));
    assert.match(text, /graceful/);
    assert.deepEqual(calls, [__filename]);
  } finally {
    fs.readFile = original;
  }
  const clone = Object.create(Object.getPrototypeOf(fs), Object.getOwnPropertyDescriptors(fs));
  assert.throws(() => clone.readFileSync('/no/such/clone'), { code: 'ENOENT' });
  assert.ok(reports.includes('read /no/such/clone ENOENT'));
});

test('import of node:fs sees the same functions', async () => {
  const m = await import('node:fs');
  assert.equal(m.readFileSync, fs.readFileSync);
  assert.equal((await import('node:fs/promises')).readFile, fs.promises.readFile);
});

test('a rejection that nobody catches is still one', () => {
  const script = `require(${JSON.stringify(require.resolve('../denials.cjs'))}).watchDenials(() => {}, () => {}); require('fs').promises.readFile('/no/such');`;
  const r = cp.spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  assert.equal(r.status, 1);
  assert.match(r.stderr, /ENOENT/);
});

test('a flood of refusals is cut short, and a long path too', () => {
  for (let i = 0; i < 1000; i++) assert.throws(() => fs.readFileSync('/no/such/' + 'x'.repeat(5000) + i));
  for (let i = 0; i < 1000; i++) assert.throws(() => fs.readFileSync('/no/such/' + i));
  assert.equal(explained.size, 1000); // a name that long is another error
  assert.ok(reports.length <= 200, `${reports.length} reports`); // two seconds' worth, should the clock turn
  assert.ok(reports.every((r) => r.length < 4200));
});
