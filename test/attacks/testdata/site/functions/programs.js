// A program that a rule names may run; it stands behind the same walls, and no other may.
const { answer } = require('../lib/try.js');
const cp = require('child_process');
const out = (r) => { if (r.error) throw r.error; if (r.status !== 0) throw new Error('status ' + (r.signal ?? r.status) + ' ' + r.stderr); return r.stdout.toString(); };

exports.handler = answer((event) => ({
  allowed: () => 'blocked: (the rule allows this one) ' + out(cp.spawnSync('/usr/bin/sort', { input: 'b\na\n' })).replace(/\n/g, ''),
  readsHost: () => out(cp.spawnSync('/usr/bin/sort', [event.canary])),
  readsEnviron: () => { const t = out(cp.spawnSync('/usr/bin/sort', ['/proc/1/environ'])); return /PAY_API_KEY|sk_/.test(t) ? t : 'blocked: holds no secret'; },
  writesBundle: () => out(cp.spawnSync('/usr/bin/sort', ['-o', '/var/task/x', '/dev/null'])) + 'written',
  runsOther: () => out(cp.spawnSync('/usr/bin/sort', ['--compress-program=/bin/sh', '-S', '1k'], { input: 'x\n'.repeat(100000) })) && 'blocked: sort did without it',
  shell: () => out(cp.spawnSync('/bin/sh', ['-c', 'id'])),
  node: () => out(cp.spawnSync(process.execPath, ['-e', 'console.log(require("fs").readFileSync(process.argv[1], "utf8"))', event.canary])),
  byLoader: () => out(cp.spawnSync('/lib64/ld-linux-x86-64.so.2', ['/bin/sh', '-c', 'id'])),
  preload: () => { const t = out(cp.spawnSync('/usr/bin/sort', ['/dev/null'], { env: { LD_PRELOAD: '/tmp/x.so' } })); return 'blocked: ' + t.length; },
}));
