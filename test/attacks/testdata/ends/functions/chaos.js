// Every way in which an invocation can come to its end, or not.
const fs = require('fs');
const { spawn } = require('child_process');
const forever = () => new Promise(() => setInterval(() => {}, 1000));
const ends = {
  calm: () => 'calm',
  throw: () => { throw new Error('thrown'); },
  reject: () => { Promise.reject(new Error('nobody catches me')); return forever(); },
  throwLater: () => { setTimeout(() => { throw new Error('late'); }, 10); return forever(); },
  exit: () => process.exit(7),
  abort: () => process.abort(),
  never: forever,
  spin: () => { for (;;); },
  goesOn: () => { setInterval(() => fs.writeFileSync('/tmp/on', String(Math.random())), 1); return 'settled'; },
  memory: () => { const all = []; for (;;) all.push(Buffer.alloc(10 << 20, 1)); },
  heap: () => { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); },
  child: () => { spawn('/bin/sleep', ['1000'], { detached: true, stdio: 'ignore' }).unref(); return 'left a child'; },
  childOfTheDead: () => { spawn('/bin/sleep', ['1000'], { detached: true, stdio: 'inherit' }).on('spawn', () => process.exit(1)); return forever(); },
  full: () => { fs.writeFileSync('/tmp/' + Math.random(), Buffer.alloc(4 << 20)); return 'full'; },
};
exports.handler = async ({ what }) => ends[what]();
