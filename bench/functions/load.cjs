// Loads a function with the shim and prints how many milliseconds of the processor's time that took:
// node load.cjs SHIM none|make|use ROOT ENTRY PACK. "make" leaves the pack's compiled code beside the shim.
const fs = require('node:fs');
const path = require('node:path');
const [shim, code, root, entry, pack] = process.argv.slice(2);
const { compilePack } = require(path.join(shim, 'pack.cjs'));
const { loadHandler } = require(path.join(shim, 'load.cjs'));
const file = path.join(shim, 'code');
if (code === 'make') {
  const parts = compilePack(root);
  fs.writeFileSync(file, Buffer.concat(parts));
  fs.writeFileSync(file + '.json', JSON.stringify(parts.map((p) => p.length)));
}
const ahead = code === 'use' ? { file, sizes: JSON.parse(fs.readFileSync(file + '.json', 'utf8')) } : undefined;
const rejected = () => { throw new Error('the compiled code was rejected'); };
const before = process.cpuUsage();
loadHandler({ root, entry, export: 'handler', pack: pack === 'true', code: ahead }, rejected).then(() => {
  const { user, system } = process.cpuUsage(before);
  console.log((user + system) / 1000);
});
