'use strict';
// Which variables are read is told by name; listing and copying all of them is not reading.
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');

// reads gives what is told when code runs with the site's variables A, B and C.
function reads(code, names = ['A', 'B', 'C']) {
  const script = `
    const told = [];
    for (const n of ['A', 'B', 'C']) process.env[n] = 'value of ' + n;
    require(${JSON.stringify(require.resolve('../env.cjs'))}).watchEnvironment(${JSON.stringify(names)}, (n) => told.push(n));
    (async () => { ${code} })().then(() => setImmediate(() => console.log(told.join())), (e) => { console.error(e); process.exit(1); });`;
  return execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }).trim();
}

test('what is read is told, each name once', () => {
  assert.equal(reads('process.env.B; process.env.B; const { A } = process.env; process.env.PATH; process.env.NONE;'), 'B,A');
  assert.equal(reads(`const { env } = await import('node:process'); env.C;`), 'C');
  assert.equal(reads(`process.env.hasOwnProperty('B') && process.env.B;`), 'B');
});

test('what is not the site\'s is not told', () => {
  assert.equal(reads('process.env.A; process.env.B;', ['B']), 'B');
});

for (const [what, code] of Object.entries({
  'Object.keys': 'Object.keys(process.env);',
  'Object.entries': 'Object.entries(process.env);',
  'a spread': '({ ...process.env });',
  'Object.assign': 'Object.assign({}, process.env);',
  'JSON.stringify': 'JSON.stringify(process.env);',
  'a loop': 'for (const n in process.env) process.env[n];',
  'in': `'A' in process.env; process.env.hasOwnProperty('A');`,
  'a child process': `require('child_process').execFileSync(process.execPath, ['-e', '']);`,
  'a worker': `await new Promise((done) => new (require('worker_threads').Worker)('', { eval: true }).on('exit', done));`,
})) test(`${what} reads nothing`, () => assert.equal(reads(code), ''));

test('reading beside a copy is told', () => {
  assert.equal(reads('Object.keys(process.env); process.env.A;'), 'A');
  assert.equal(reads('({ ...process.env }); process.env.B;'), 'B');
  assert.equal(reads('process.env.C; JSON.stringify(process.env); await 0; process.env.A;'), 'C,A');
  assert.equal(reads('const { A, ...rest } = process.env;'), 'A');
  assert.equal(reads('Object.keys(process.env).filter((n) => n.startsWith("DEBUG_")); process.env.A; Object.keys(process.env); process.env.B;'), 'A,B');
});

test('process.env behaves as before', () => {
  assert.equal(reads(`
    const assert = require('assert');
    process.env.D = 1;
    process.env.A = 'other';
    assert.equal(process.env.D, '1');
    assert.equal(require('child_process').execFileSync(process.execPath, ['-p', 'process.env.A + process.env.D'], { encoding: 'utf8' }).trim(), 'other1');
    delete process.env.D;
    assert.equal(process.env.D, undefined);
    assert.equal('D' in process.env, false);
    assert.equal(Object.keys(process.env).includes('B'), true);
    process.env = { ...process.env, E: 'e' };
    assert.equal(process.env.E, 'e');`), '');
});
