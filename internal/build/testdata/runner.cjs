// Calls functions as Lambda does: node runner.cjs ENTRY EXPORT, with the result as JSON on stdout.
const [entry, name] = process.argv.slice(2);
(async () => {
  const loaded = entry.endsWith('.mjs') ? await import(entry) : require(entry);
  console.log(JSON.stringify(await loaded[name]({})));
})().catch((e) => {
  console.log(String(e.stack).split('\n').slice(0, 2).join('|'));
});
