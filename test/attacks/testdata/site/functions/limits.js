// Every appetite ends at a limit, and the next request is served. One attempt an invocation; each
// gives back what it took, as the next one may be served by the same process.
const fs = require('fs');
const attempts = {
  calm: () => 'calm',
  tmp: () => { const b = Buffer.alloc(1 << 20, 1); try { for (let i = 0; i < 64; i++) fs.appendFileSync('/tmp/fill', b); } catch (e) { return 'blocked: ' + e.code; } finally { fs.rmSync('/tmp/fill', { force: true }); } return 'OPEN'; },
  inodes: () => { let i = 0; try { for (; i < 100000; i++) fs.writeFileSync('/tmp/i' + i, ''); } catch (e) { return 'blocked: ' + e.code; } finally { while (i-- > 0) fs.rmSync('/tmp/i' + i, { force: true }); } return 'OPEN'; },
  files: () => { const fds = []; try { for (let i = 0; i < 100000; i++) fds.push(fs.openSync('/dev/null')); } catch (e) { return 'blocked: ' + e.code; } finally { for (const fd of fds) fs.closeSync(fd); } return 'OPEN'; },
  threads: async () => { const { Worker } = require('worker_threads'); const ws = []; try { while (ws.length < 200) { const w = new Worker('setInterval(()=>{},1e6)', { eval: true }); await new Promise((r, j) => { w.once('online', r); w.once('error', j); }); ws.push(w); } } catch (e) { return 'blocked: ' + ws.length; } finally { for (const w of ws) await w.terminate(); } return 'OPEN'; },
  memory: async () => { const keep = []; for (let i = 0; i < 200; i++) { keep.push(Buffer.alloc(10 << 20, 1)); await new Promise(setImmediate); } return 'OPEN: ' + keep.length; },
  heap: () => { const keep = []; for (;;) keep.push({ a: new Array(100).fill(keep.length) }); },
  spin: () => { for (;;); },
  never: () => new Promise(() => { setInterval(() => {}, 1000); }),
  log: () => { for (let i = 0; i < 20000; i++) console.log('x'.repeat(100)); return 'flooded'; },
  response: () => 'x'.repeat(1 << 20),
  exit: () => process.exit(7),
  abort: () => process.abort(),
  reject: () => { Promise.reject(new Error('nobody catches me')); return new Promise((r) => setTimeout(r, 500, 'OPEN')); },
  throwLater: () => { setTimeout(() => { throw new Error('late'); }, 10); return new Promise((r) => setTimeout(r, 500, 'OPEN')); },
};
exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify({ [event.what]: String(await attempts[event.what]()) }) });
