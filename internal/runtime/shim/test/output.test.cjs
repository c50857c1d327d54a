'use strict';
const { test } = require('node:test');
const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const path = require('node:path');

// printed gives what a process prints that marks its output.
function printed(source) {
  const file = path.join(__dirname, '..', 'output.cjs');
  return execFileSync(process.execPath, ['-e', `const within = require(${JSON.stringify(file)}).markOutput('tag');${source}`], { encoding: 'latin1' });
}

test('each line is marked, and what has no line end is ended', () => {
  assert.equal(printed(`within('a', () => console.log('one\\ntwo')); console.log('none');`), '\0tag a\0one\n\0tag a\0two\nnone\n');
  assert.equal(printed(`within('a', () => process.stdout.write('x'));`), '\0tag a\0x\0tag \0');
  assert.equal(printed(`within('a', () => console.log());`), '\0tag a\0\n');
});

test('what is asynchronous keeps its mark', () => {
  assert.equal(printed(`within('a', async () => { await null; console.log('one'); }); within('b', () => setTimeout(() => console.log('two')));`),
    '\0tag a\0one\n\0tag b\0two\n');
});

test('bytes stay as they are, and callbacks and errors do', () => {
  assert.equal(printed(`within('a', () => process.stdout.write(Buffer.from([255, 10, 254]), () => process.stdout.write('done')));`), '\0tag a\0\xff\n\0tag a\0\xfe\0tag \0\0tag a\0done\0tag \0');
  assert.equal(printed(`within('a', () => process.stdout.write('$&41', 'utf8')); within('b', () => process.stdout.write('ff', 'hex'));`), '\0tag a\0$&41\0tag \0\0tag b\0\xff\0tag \0');
  assert.equal(printed(`within('a', () => { try { process.stdout.write({}); } catch (e) { console.log(e.code); } });`), '\0tag a\0ERR_INVALID_ARG_TYPE\n');
  assert.equal(printed(`within('a', () => console.log(process.stdout.write.name, process.stdout.write.length));`), printed(`within('a', () => console.log(Object.getPrototypeOf(process.stdout).write.name, Object.getPrototypeOf(process.stdout).write.length));`));
});
