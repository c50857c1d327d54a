'use strict';
// Finding the handler: the entry of the bundle is imported and its export looked up, as the AWS
// runtime does. Errors carry the names that the AWS runtime gives them.
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { loadPack } = require('./pack.cjs');

class RuntimeError extends Error {
  constructor(type, message) {
    super(message);
    this.name = type;
  }
}

// loadHandler gives the handler; rejected is that of loadPack.
async function loadHandler({ root, entry, export: name, pack, code }, rejected) {
  const module = await importing(() => pack ? loadPack(root, code, rejected) : importEntry(path.join(root, entry)));
  const handler = [module, module?.default].map((m) => m?.[name]).find((h) => h !== undefined);
  if (typeof handler === 'function') return handler;
  if (handler === undefined && typeof (module?.default?.default ?? module?.default) === 'function' && name === 'handler') {
    throw new RuntimeError('Runtime.HandlerNotFound', `${entry} has a default export and no handler: Netlify Functions v2 are not supported by this version yet`);
  }
  throw new RuntimeError('Runtime.HandlerNotFound', handler === undefined ? `${entry} exports no ${name}` : `${name} of ${entry} is not a function`);
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
