'use strict';
const { test, after } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { loadHandler } = require('../load.cjs');
const { installLambda } = require('../lambda.cjs');

const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'load-')));
after(() => fs.rmSync(root, { recursive: true }));
let count = 0;

// load writes a file into a folder of its own and loads its handler.
function load(name, source, more = {}) {
  const dir = path.join(root, String(count++));
  for (const [file, text] of Object.entries({ [name]: source, ...more })) {
    fs.mkdirSync(path.dirname(path.join(dir, file)), { recursive: true });
    fs.writeFileSync(path.join(dir, file), text);
  }
  return loadHandler({ root: dir, entry: name, export: 'handler' });
}

const esm = { 'package.json': '{"type":"module"}' };

test('handlers are found', async () => {
  for (const args of [
    ['a.js', 'exports.handler = () => 1;'],
    ['a.js', 'module.exports = { handler: () => 1 };'],
    ['a.cjs', 'exports.default = { handler: () => 1 };'],
    ['a.mjs', 'export const handler = () => 1;'],
    ['a.mjs', 'export default { handler: () => 1 };'],
    ['a.mjs', 'const h = await Promise.resolve(() => 1); export { h as handler };'],
    ['a.js', 'export const handler = () => 1;', esm],
    ['a.js', 'const h = await Promise.resolve(() => 1); export { h as handler };', esm],
    ['sub dir/ü#?.mjs', 'export const handler = () => 1;'],
    ['a.js', 'exports.handler = require("./b").h;', { 'b.js': 'exports.h = () => 1;' }],
  ]) {
    const { form, handler } = await load(...args);
    assert.equal(form, 'v1');
    assert.equal(handler(), 1, args[1]);
  }
});

test('the form of a handler is told', async () => {
  installLambda();
  for (const [form, ...args] of [
    ['v2', 'a.mjs', 'export default () => 1;'],
    ['v2', 'a.mjs', 'export default { n: 1, fetch() { return this.n; } };'],
    ['v2', 'a.js', 'export default () => 1;', esm],
    ['v2', 'a.cjs', 'exports.__esModule = true; exports.default = () => 1;'],
    ['v2', 'a.cjs', 'exports.__esModule = true; exports.default = { fetch: () => 1 };'],
    ['v2', 'a.mjs', 'import b from "./b.cjs"; export default b;', { 'b.cjs': 'exports.__esModule = true; exports.default = () => 1;' }],
    ['v1', 'a.mjs', 'export default () => 2; export const handler = () => 1;'],
    ['stream', 'a.cjs', 'exports.handler = awslambda.streamifyResponse(() => 1);'],
    ['stream', 'a.mjs', 'export const handler = awslambda.streamifyResponse(() => 1);'],
    ['v2', '___netlify-entry-point.mjs', 'export const handler = awslambda.streamifyResponse(() => 1);'],
  ]) {
    const loaded = await load(...args);
    assert.equal(loaded.form, form, args[1]);
    assert.equal(loaded.handler(), 1, args[1]);
  }
});

test('errors have the names that Lambda gives them', async () => {
  for (const [name, source, type, message, more] of [
    ['a.js', 'exports.other = 1;', 'Runtime.HandlerNotFound', /^a\.js exports no handler$/],
    ['a.mjs', 'export const x = 1;', 'Runtime.HandlerNotFound', /^a\.mjs exports no handler$/],
    ['a.js', 'exports.handler = 7;', 'Runtime.HandlerNotFound', /^handler of a\.js is not a function$/],
    ['a.js', 'exports.handler = null;', 'Runtime.HandlerNotFound', /is not a function/],
    ['a.js', 'module.exports = null;', 'Runtime.HandlerNotFound', /exports no handler/],
    ['a.mjs', 'export default 7;', 'Runtime.HandlerNotFound', /^a\.mjs exports no handler$/],
    ['a.mjs', 'export default { fetch: 7 };', 'Runtime.HandlerNotFound', /^a\.mjs exports no handler$/],
    ['a.js', 'module.exports = () => 1;', 'Runtime.HandlerNotFound', /^a\.js exports no handler$/],
    ['a.js', 'exports.handler = ;', 'Runtime.UserCodeSyntaxError', /Unexpected token/],
    ['a.mjs', 'export const = 1;', 'Runtime.UserCodeSyntaxError', /Unexpected token/],
    ['a.js', 'require("no-such-package");', 'Runtime.ImportModuleError', /no-such-package/],
    ['a.mjs', 'import "no-such-package";', 'Runtime.ImportModuleError', /no-such-package/],
    ['a.js', 'import "./no-such.js";', 'Runtime.ImportModuleError', /no-such/, esm],
    ['a.js', 'throw new RangeError("at import");', 'RangeError', /^at import$/],
    ['a.mjs', 'throw new RangeError("at import");', 'RangeError', /^at import$/],
  ]) {
    await assert.rejects(load(name, source, more), (e) => {
      assert.equal(e.name, type, source);
      assert.match(e.message, message);
      return true;
    });
  }
});

test('what is thrown at import is passed on, whatever it is', async () => {
  await assert.rejects(load('a.js', 'throw "text";'), (e) => e === 'text');
  await assert.rejects(load('a.js', 'throw null;'), (e) => e === null);
  await assert.rejects(load('a.js', 'throw Object.freeze(new SyntaxError("frozen"));'), { name: 'SyntaxError', message: 'frozen' });
});

test('a file that is not there', async () => {
  await assert.rejects(loadHandler({ root, entry: 'gone.js', export: 'handler' }), { name: 'Runtime.ImportModuleError' });
});
