'use strict';
// What functions and their packages use most of Node.js, loaded while the process waits for its function.
// Each of these costs a fifth of a millisecond or more; docs/benchmarks.md says what they bring together.
for (const name of ['https', 'http2', 'crypto', 'zlib', 'fs/promises', 'dns', 'child_process', 'worker_threads', 'readline',
  'perf_hooks', 'stream/web', 'os', 'vm', 'timers/promises']) require('node:' + name);
require('node:tls').createSecureContext(); // reads the authorities
void new Response('', { headers: new Headers() });
void new Request('http://localhost/');
void [globalThis.fetch, globalThis.WebSocket, globalThis.Blob, globalThis.FormData, globalThis.crypto];
import('node:fs').catch(() => {}); // starts what finds modules of the other kind
