'use strict';
// Finding the handler: the entry of the bundle is imported and its export looked up, as the AWS
// runtime does. Errors carry the names that the AWS runtime gives them.
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { streams } = require('./lambda.cjs');
const { loadPack } = require('./pack.cjs');

const NETLIFY_ENTRY = '___netlify-entry-point.mjs'; // Netlify's build puts it before functions v2

class RuntimeError extends Error {
  constructor(type, message) {
    super(message);
    this.name = type;
  }
}

// loadHandler gives the handler and its form: "v1", called with an event; "v2", with a Request; "stream",
// with an event and a stream to write to. rejected is that of loadPack.
async function loadHandler({ root, entry, export: name, pack, code }, rejected) {
  const module = await importing(() => pack ? loadPack(root, code, rejected) : importEntry(path.join(root, entry)));
  const handler = [module, module?.default].map((m) => m?.[name]).find((h) => h !== undefined);
  if (typeof handler === 'function') {
    return { form: path.basename(entry) === NETLIFY_ENTRY ? 'v2' : streams(handler) ? 'stream' : 'v1', handler };
  }
  if (handler === undefined && name === 'handler') {
    // Transpiled to CommonJS and imported as an ES module, a default export lies one deeper.
    const fetch = [module?.default?.default, module?.default].map(fetchOf).find((f) => f);
    if (fetch) return { form: 'v2', handler: fetch };
  }
  throw new RuntimeError('Runtime.HandlerNotFound', handler === undefined ? `${entry} exports no ${name}` : `${name} of ${entry} is not a function`);
}

// fetchOf gives the function that answers requests, undefined if there is none.
function fetchOf(exported) {
  if (typeof exported === 'function') return exported;
  if (typeof exported?.fetch === 'function') return (request, context) => exported.fetch(request, context);
  return undefined;
}

async function importEntry(file) {
  if (file.endsWith('.mjs')) return import(pathToFileURL(file));
  try {
    return require(file);
  } catch (e) {
    if (e?.code !== 'ERR_REQUIRE_ESM' && e?.code !== 'ERR_REQUIRE_ASYNC_MODULE') throw e;
    return import(pathToFileURL(file));
  }
}

async function importing(load) {
  try {
    return await load();
  } catch (e) {
    if (e instanceof SyntaxError) throw named(e, 'Runtime.UserCodeSyntaxError');
    if (e?.code === 'MODULE_NOT_FOUND' || e?.code === 'ERR_MODULE_NOT_FOUND') throw named(e, 'Runtime.ImportModuleError');
    throw e;
  }
}

function named(e, type) {
  try { e.name = type; } catch { /* frozen: it keeps its own name */ }
  return e;
}

module.exports = { loadHandler };
