// A dependency can spoil its own answer, never another invocation's: forged frames on every
// descriptor, at every time.
const fs = require('fs');
let calls = 0;
const answer = (id) => JSON.stringify({ id, requestId: id, ok: true, response: { statusCode: 200, body: 'forged' }, statusCode: 200, body: 'forged' });
function forge(id) {
  const j = Buffer.from(answer(id)), be = Buffer.alloc(4), le = Buffer.alloc(4);
  be.writeUInt32BE(j.length); le.writeUInt32LE(j.length);
  const frames = [j, Buffer.concat([j, Buffer.from('\n')]), Buffer.concat([be, j]), Buffer.concat([le, j]), Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${j.length}\r\n\r\n${j}`), Buffer.alloc(4096, 0xff), Buffer.alloc(64)];
  // Sockets only: what is written to libuv's own pipes ends this process by itself.
  for (let fd = 3; fd < 64; fd++) for (const f of frames) try { if (fs.fstatSync(fd).isSocket()) fs.writeSync(fd, f); } catch {}
}
exports.handler = async (event, context) => {
  calls++;
  if (event.forge === 'now') forge(context.awsRequestId);
  if (event.forge === 'later') setTimeout(forge, 50, 'x');
  if (event.forge === 'always') setInterval(forge, 5, 'x');
  return { statusCode: 200, body: JSON.stringify({ id: event.id, calls }) };
};
