'use strict';
// A zygote without a function: its children carry out what they are told, a line of JavaScript at a time,
// each answered by a line of JSON. What it is to do before it is forked stands in its environment.
const fs = require('fs');
const addon = { exports: {} };
process.dlopen(addon, '/opt/weir/fork.node');
if (process.env.FIRST) globalThis.first = eval(process.env.FIRST);
setImmediate(() => {
  fs.closeSync(3);
  const pid = addon.exports.fork();
  process.reallyExit = (code) => addon.exports.exit(code | 0);
  const socket = new (require('net').Socket)({ fd: 3, readable: true, writable: true });
  let text = '';
  socket.on('data', async (b) => {
    text += b;
    for (let at; (at = text.indexOf('\n')) >= 0;) {
      const line = text.slice(0, at);
      text = text.slice(at + 1);
      let answer;
      try { answer = await eval(`(async () => { ${line} })()`); } catch (e) { answer = { error: e.code ?? e.message }; }
      socket.write(JSON.stringify(answer ?? null) + '\n');
    }
  });
  socket.on('end', () => process.reallyExit(0));
  Object.defineProperty(process, 'pid', { value: pid });
});
