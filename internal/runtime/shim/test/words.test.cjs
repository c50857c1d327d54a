'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { Words, refusal } = require('../words.cjs');

const place = '[functions.f] in weir.toml';
const make = (o = {}) => new Words({ mark: 'MARK', intrinsic: false, files: { read: { rules: ['/srv/data/**', '/etc/one'], place },
  write: { rules: null, place }, exec: { rules: ['/usr/bin/convert'], place } }, ...o });
const failed = (code, path) => Object.assign(new Error(`${code}: no, open '${path}'`), { code, errno: -2, path });
const problem = { type: 'about:blank', detail: 'GET https://x/ is not allowed: $& $1', tried: 'GET https://x/', nearest: '"n"', rule: 'weir.toml:3', fix: 'f' };

test('a response is a refusal if it has the mark', () => {
  const words = make();
  const value = 'MARK ' + JSON.stringify(problem);
  for (const raw of [['Weir-Denied', value], ['a', 'b', 'weir-denied', value], [Buffer.from('WEIR-DENIED'), Buffer.from(value)]]) {
    const e = words.response(raw);
    assert.equal(e.code, 'EWEIR');
    assert.equal(e.message, problem.detail);
    assert.ok(e.stack.startsWith('Error: ' + problem.detail));
    assert.deepEqual(e.weir, { tried: problem.tried, nearest: '"n"', rule: 'weir.toml:3', fix: 'f' });
    assert.deepEqual(Object.keys(e), ['code']);
    assert.ok(refusal(e) && refusal(new TypeError('fetch failed', { cause: e })) && refusal(Object.assign(new Error('stripe'), { detail: e })));
  }
  for (const raw of [undefined, null, [], ['weir-denied'], ['weir-denied', 'MAR ' + JSON.stringify(problem)], ['weir-denied', ''], ['x-weir-denied', value], ['weir-deniee', value]]) {
    assert.equal(words.response(raw), null);
  }
  assert.equal(words.header(undefined), null);
});

test('an error of another kind is no refusal', () => {
  for (const e of [null, undefined, 7, 'EWEIR', new Error('EWEIR'), { code: 'ENOENT' }, { cause: 'EWEIR' }]) assert.equal(refusal(e), false);
  const loop = new Error('x');
  loop.cause = loop;
  assert.equal(refusal(loop), false);
});

test('files keep what the kernel said and get the rule that is missing', () => {
  for (const [kind, path, nearest, fix] of [
    ['read', '/etc/shadow', '"/etc/one"', 'read = ["/etc/shadow"]'],
    ['read', '/home/x', undefined, 'read = ["/home/x"]'],
    ['read', '/srv/database', '"/srv/data/**"', 'read = ["/srv/database"]'],
    ['read', '/home/a "b" \\', undefined, 'read = ["/home/a \\"b\\" \\\\"]'],
    ['read', '/home/*', undefined, undefined],
    ['read', '/home/[a]', undefined, undefined],
    ['read', '/home/é', undefined, undefined],
    ['read', '/home/../x', undefined, undefined],
    ['read', '/home/x/', undefined, 'read = ["/home/x"]'],
    ['write', '/tmp/a', undefined, 'write = ["/tmp/**"]'],
    ['write', '/srv/data/x', undefined, 'write = ["/srv/data/x"]'],
    ['exec', '/bin/sh', undefined, 'exec = ["/bin/sh"]'],
    ['exec', 'sh', undefined, 'exec = ["/usr/bin/sh"]'],
    ['exec', '/usr/local/bin/convert', '"/usr/bin/convert"', 'exec = ["/usr/local/bin/convert"]'],
    ['exec', '/tmp/tool', undefined, undefined],
    ['exec', './tool', undefined, undefined],
  ]) {
    const e = failed('ENOENT', path);
    const said = e.message;
    make().file(e, kind, path);
    const tried = `${{ read: 'reading', write: 'writing', exec: 'starting' }[kind]} ${path.replace(/\/$/, '')}`;
    assert.deepEqual([e.code, e.errno, e.path, { ...e.weir }], ['ENOENT', -2, path, { tried, ...(nearest && { nearest }), ...(fix && { fix }) }]);
    assert.equal(e.message, `${said} (Weir: ${tried} needs a rule${nearest ? '; the nearest is ' + nearest : ''}${fix ? '; to allow it, add to [functions.f] in weir.toml: ' + fix : ''})`);
    assert.ok(e.stack.includes(e.message));
    make().file(e, kind, path);
    assert.equal(e.message.match(/Weir:/g).length, 1, 'said twice');
  }
});

test('what a rule allows fails for other reasons', () => {
  for (const [kind, path] of [['read', '/srv/data'], ['read', '/srv/data/x/y'], ['read', '/etc/one'], ['exec', '/usr/bin/convert']]) {
    const e = failed('EACCES', path);
    make().file(e, kind, path);
    assert.ok(!e.weir && !/Weir/.test(e.message));
  }
});

test('rules in the language of the bootstrap', () => {
  const words = make({ intrinsic: true });
  for (const [kind, path, fix] of [
    ['read', "/it's", "policy.fs.allowRead('/it\\'s')"], ['write', '/tmp/x', "policy.fs.allowWrite('/tmp/**')"],
    ['exec', 'id', "policy.childProcess.allowSpawningPath('/usr/bin/id')"]]) {
    const e = failed('ENOENT', path);
    words.file(e, kind, path);
    assert.equal(e.weir.fix, fix);
  }
});

test('a connection and a question get the words that were heard for them', () => {
  const words = make();
  const said = { message: 'tcp://db:1 is not allowed: no rule', tried: 'db:1', fix: 'tcp = ["db:1"]' };
  words.heard({ port: 4711, ...said });
  const reset = () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', errno: -104, syscall: 'read' });
  const [other, mine, again] = [reset(), reset(), reset()];
  words.connection(other, 4712);
  words.connection(mine, 4711);
  words.connection(again, 4711);
  assert.deepEqual([mine.code, mine.message, mine.errno, mine.syscall], ['EWEIR', said.message, undefined, 'read']);
  assert.ok(mine.stack.startsWith('Error: ' + said.message));
  assert.deepEqual([other, again].map((e) => [e.code, e.message]), Array(2).fill(['ECONNRESET', 'read ECONNRESET']));

  words.heard({ type: 16, name: 'A.Test', message: 'TXT refused', tried: 'TXT A.Test' });
  const asked = Object.assign(new Error('queryTxt EREFUSED a.test'), { code: 'EREFUSED' });
  words.question(asked, 15, 'a.test');
  assert.equal(asked.code, 'EREFUSED');
  words.question(asked, 16, 'a.tesT.');
  assert.deepEqual([asked.code, asked.message], ['EWEIR', 'TXT refused']);

  const root = Object.assign(new Error('queryNs EREFUSED .'), { code: 'EREFUSED' });
  words.heard({ type: 2, message: 'NS refused', tried: 'NS ' }); // an empty name is left out
  words.question(root, 2, '.');
  assert.deepEqual([root.code, root.message], ['EWEIR', 'NS refused']);
});

test('what is heard for nobody is forgotten', (t) => {
  const words = make();
  for (let port = 1; port <= 101; port++) words.heard({ port, message: 'm', tried: 't' });
  const [first, second] = [new Error('1'), new Error('2')];
  words.connection(first, 1);
  words.connection(second, 2);
  assert.deepEqual([first.code, second.code], [undefined, 'EWEIR']);
});
