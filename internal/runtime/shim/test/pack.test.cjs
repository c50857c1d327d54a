'use strict';
const { test, after } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const shim = path.join(__dirname, '..');
const { loadPack, compilePack } = require('../pack.cjs');

const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'pack-')));
after(() => fs.rmSync(root, { recursive: true }));
let count = 0;

// pack writes a pack of one package with one CommonJS module and gives its folder.
function pack(body) {
  const dir = path.join(root, String(count++));
  const script = '(function(){return[\n(function(exports,require,module,__filename,__dirname){\n' + body + '\n}),\n]})\n';
  fs.mkdirSync(path.join(dir, '.weir'), { recursive: true });
  fs.writeFileSync(path.join(dir, '.weir/pack.js'), script);
  fs.writeFileSync(path.join(dir, '.weir/pack.json'), JSON.stringify({
    modules: [{ file: 'f.js', package: 0 }], packages: [{ name: '', at: 0, size: Buffer.byteLength(script), line: 0 }],
  }));
  return dir;
}

test('compiling a pack runs none of its code', () => {
  const code = compilePack(pack('globalThis.ran = 1; module.exports = (() => { globalThis.ran = 2; })();'));
  assert.equal(globalThis.ran, undefined);
  assert.equal(code.length, 1);
  assert.ok(code[0].length > 100);
});

// compiled gives the code of a pack from a process of its own: in this one V8 would remember it.
function compiled(dir) {
  const script = `process.stdout.write(require(${JSON.stringify(path.join(shim, 'pack.cjs'))}).compilePack(${JSON.stringify(dir)})[0])`;
  return execFileSync(process.execPath, ['-e', script]);
}

// load loads a pack with compiled code, and gives what was rejected.
async function load(dir, code) {
  const file = path.join(root, 'code' + count++);
  fs.writeFileSync(file, Buffer.concat(code));
  let rejected = 0;
  const exports = await loadPack(dir, { file, sizes: code.map((c) => c.length) }, () => rejected++);
  return { exports, rejected };
}

test('compiled code is used', async () => {
  const dir = pack('exports.answer = 42;');
  assert.deepEqual(await load(dir, [compiled(dir)]), { exports: { answer: 42 }, rejected: 0 });
});

test('compiled code of another V8, of another length and none at all are told, and do no harm', async () => {
  const otherV8 = (code) => { code[4] ^= 1; return code; }; // the hash of V8's version
  for (const [i, code] of [(dir) => otherV8(compiled(dir)), () => compiled(pack('exports.answer = "longer";')), () => Buffer.alloc(0)].entries()) {
    const dir = pack(`exports.answer = ${43 + i};`);
    const { exports, rejected } = await load(dir, [code(dir)]);
    assert.equal(exports.answer, 43 + i);
    assert.equal(rejected, 1);
  }
});

test('files that are no pack are an error', async () => {
  await assert.rejects(loadPack(root), { code: 'ENOENT' });
  const dir = pack('');
  fs.writeFileSync(path.join(dir, '.weir/pack.json'), '{');
  await assert.rejects(loadPack(dir), SyntaxError);
});
