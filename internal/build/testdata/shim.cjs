// Loads a function with the shim's loader: node shim.cjs load|call DIR ENTRY EXPORT [pack], and calls it
// as Lambda does if told to.
const { loadHandler } = require('../../runtime/shim/load.cjs');
const { installStackTraces } = require('../../runtime/shim/errors.cjs');
const [what, root, entry, name, pack] = process.argv.slice(2);
installStackTraces(root);
(async () => {
  const { handler } = await loadHandler({ root, entry, export: name, pack: pack === 'pack' });
  console.log(what === 'load' ? 'loaded' : JSON.stringify(await handler({})));
})().catch((e) => {
  console.log(String(e?.stack ?? e).split('\n').slice(0, 2).join('|'));
});
