'use strict';
const { test, after } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { errorOf, installStackTraces } = require('../errors.cjs');

const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'errors-')));
after(() => fs.rmSync(root, { recursive: true }));
const bundle = (name, code, map) => {
  fs.writeFileSync(path.join(root, name), code);
  if (map !== undefined) fs.writeFileSync(path.join(root, name + '.map'), typeof map === 'string' ? map : JSON.stringify(map));
  return path.join(root, name);
};

test('errors are told as Lambda tells them', () => {
  const e = errorOf(new TypeError('no'));
  assert.equal(e.errorType, 'TypeError');
  assert.equal(e.errorMessage, 'no');
  assert.equal(e.trace[0], 'TypeError: no');
  assert.match(e.trace[1], /errors\.test\.cjs/);
  assert.ok(!e.trace.some((l) => l.includes('node:internal/')));
});

test('what led to an error is told in the trace, a few steps deep', () => {
  const cause = Object.assign(new Error('GET https://x/ is not allowed'), { code: 'EWEIR' });
  const told = (e) => errorOf(e).trace.filter((l) => l.startsWith('  [cause]: '));
  assert.deepEqual(told(new TypeError('fetch failed', { cause })), ['  [cause]: Error [EWEIR]: GET https://x/ is not allowed']);
  assert.deepEqual(told(Object.assign(new Error('no connection'), { detail: new TypeError('fetch failed', { cause }) })),
    ['  [cause]: TypeError: fetch failed', '  [cause]: Error [EWEIR]: GET https://x/ is not allowed']);
  for (const cause of [undefined, 'text', {}, 7]) assert.deepEqual(told(new Error('x', { cause })), []);
  const loop = new Error('x');
  loop.cause = loop;
  assert.equal(told(loop).length, 4);
});

test('anything can be thrown', () => {
  for (const [thrown, type, message] of [
    ['text', 'string', 'text'], [undefined, 'undefined', 'undefined'], [null, 'object', 'null'], [7, 'number', '7'], [7n, 'bigint', '7'],
    [Symbol('s'), 'symbol', 'Symbol(s)'], [{}, 'object', '[object Object]'], [{ message: 'm' }, 'Error', 'm'],
    [{ message: 'm', name: 'N' }, 'N', 'm'], [{ message: 7 }, 'object', '[object Object]'],
    [Object.create(null), 'Error', 'an error that can not be shown'],
    [{ get message() { throw new Error('gotcha'); } }, 'Error', 'an error that can not be shown'],
    [{ message: 'm', get stack() { throw new Error('gotcha'); } }, 'Error', 'an error that can not be shown'],
    [new Proxy({}, { get() { throw new Error('gotcha'); } }), 'Error', 'an error that can not be shown'],
  ]) {
    const e = errorOf(thrown);
    assert.deepEqual([e.errorType, e.errorMessage], [type, message]);
    assert.ok(Array.isArray(e.trace));
  }
});

test('an error of any size is bounded', () => {
  const e = errorOf({ name: 'n'.repeat(1e6), message: 'm'.repeat(1e6), stack: ('s'.repeat(1e5) + '\n').repeat(1000) });
  assert.ok(e.errorType.length <= 16384 && e.errorMessage.length <= 16384 && e.trace.length <= 64);
  assert.ok(e.trace.every((l) => l.length <= 16384));
});

test('a stack names the source', () => {
  installStackTraces(root);
  // Generated line 2 comes from line 5 of src/fn.ts, column 3.
  const file = bundle('mapped.js', '"use strict";\nexports.fail = () => { throw new Error("x"); };\n',
    { version: 3, sources: ['../src/fn.ts'], names: [], mappings: 'AAAA;AAIE' });
  try {
    require(file).fail();
    assert.fail('nothing was thrown');
  } catch (e) {
    const { trace } = errorOf(e);
    assert.equal(trace[0], 'Error: x');
    assert.equal(trace[1], `    at exports.fail (${path.resolve(root, '../src/fn.ts')}:5:3)`);
  }
});

test('without a map, or with a bad one, it names the bundle', () => {
  installStackTraces(root);
  const code = 'exports.fail = () => { throw new Error("x"); };\n';
  for (const [name, map] of [['none.js', undefined], ['garbage.js', '{'], ['null.js', 'null'], ['empty.js', { version: 3, sources: [], names: [], mappings: '' }],
    ['hostile.js', { version: 3, sources: 7, mappings: [] }]]) {
    try {
      require(bundle(name, code, map)).fail();
      assert.fail('nothing was thrown');
    } catch (e) {
      assert.match(e.stack.split('\n')[1], new RegExp(`${name}:1:\\d+`));
    }
  }
});

test('an error whose name throws still has a stack', () => {
  installStackTraces(root);
  const e = new Error('x');
  Object.defineProperty(e, 'name', { get() { throw new Error('gotcha'); } });
  Error.captureStackTrace(e);
  assert.match(e.stack, /^Error\n {4}at/);
});
