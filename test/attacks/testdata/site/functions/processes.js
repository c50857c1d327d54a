// No child processes, no debugger, no signals to others, no native code.
const { answer, MARK } = require('../lib/try.js');
const cp = require('child_process'), fs = require('fs');
const out = (r) => { if (r.error) throw r.error; return r.stdout; };
const child = (k) => new Promise((resolve, reject) => { k.on('error', reject); k.on('message', resolve); k.stdout?.on('data', resolve); k.on('exit', (c) => reject(new Error('exit ' + c))); });

// Node 24 takes other arguments here, and crashes on these by itself.
const internals = Number(process.versions.node.split('.')[0]) < 24 && {
  binding: () => { const r = process.binding('spawn_sync').spawn({ file: '/bin/sh', args: ['sh', '-c', 'echo x'], envPairs: [], stdio: [{ type: 'pipe', readable: true, writable: false }, { type: 'pipe', readable: false, writable: true }, { type: 'pipe', readable: false, writable: true }] }); if (r.error) throw new Error(r.error); return r.output; },
  wrap: () => new Promise((resolve, reject) => { const { Process } = process.binding('process_wrap'); const p = new Process(); p.onexit = resolve; const rc = p.spawn({ file: '/bin/sh', args: ['sh'], stdio: [{ type: 'ignore' }, { type: 'ignore' }, { type: 'ignore' }] }); if (rc) reject(new Error('rc ' + rc)); }),
};

exports.handler = answer({
  ...internals,
  exec: () => cp.execSync('echo ' + MARK),
  spawn: () => child(cp.spawn('/bin/sh', ['-c', 'echo x'])),
  spawnSync: () => out(cp.spawnSync('/bin/echo', ['x'])),
  execFile: () => cp.execFileSync('/usr/bin/env'),
  node: () => out(cp.spawnSync(process.execPath, ['-e', 'console.log(1)'])),
  fork: () => child(cp.fork(__filename, { silent: true })),
  cluster: () => { const c = require('cluster'); c.setupPrimary({ exec: __filename, silent: true }); return child(c.fork()); },
  shellFromTmp: () => { fs.writeFileSync('/tmp/x.sh', '#!/bin/sh\necho x', { mode: 0o755 }); return cp.execFileSync('/tmp/x.sh'); },
  dlopenTmp: () => { fs.copyFileSync(process.execPath, '/tmp/x.node'); process.dlopen({ exports: {} }, '/tmp/x.node'); return 'loaded'; },
  dlopenBundle: () => { process.dlopen({ exports: {} }, '/var/task/functions/processes.js'); return 'loaded'; },
  killOthers: () => { process.kill(-1, 'SIGKILL'); return 'signalled'; },
  killParent: () => { if (process.ppid === 0) return 'blocked: no parent here'; process.kill(process.ppid, 0); return 'signalled'; },
  debugOthers: () => { process._debugProcess(2); return 'debugged'; },
  setuid: () => { process.setuid(0); return 'uid ' + process.getuid(); },
  setgroups: () => { process.setgroups([0]); return 'groups'; },
  isRoot: () => (process.getuid() === 0 ? 'uid 0' : 'blocked: uid ' + process.getuid()),
  priority: () => { require('os').setPriority(0, -20); return 'raised'; },
  hostname: () => (require('os').hostname() === process.env.WEIR_ATTACK_HOST ? 'the host\'s' : 'blocked: its own'),
});
