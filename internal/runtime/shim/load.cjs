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

async function loadHandler({ root, entry, export: name, pack }) {
  const module = await importEntry(path.join(root, entry), pack ? root : '');
  const handler = [module, module?.default].map((m) => m?.[name]).find((h) => h !== undefined);
  if (typeof handler === 'function') return handler;
  if (handler === undefined && typeof (module?.default?.default ?? module?.default) === 'function' && name === 'handler') {
    throw new RuntimeError('Runtime.HandlerNotFound', `${entry} has a default export and no handler: Netlify Functions v2 are not supported by this version yet`);
  }
  throw new RuntimeError('Runtime.HandlerNotFound', handler === undefined ? `${entry} exports no ${name}` : `${name} of ${entry} is not a function`);
}

// importEntry gives the exports of the handler's file: of the pack in the folder pack, or of a file.
async function importEntry(file, pack) {
  try {
    if (pack) return loadPack(pack);
    if (file.endsWith('.mjs')) return await import(pathToFileURL(file));
    try {
      return require(file);
    } catch (e) {
      if (e?.code !== 'ERR_REQUIRE_ESM' && e?.code !== 'ERR_REQUIRE_ASYNC_MODULE') throw e;
      return await import(pathToFileURL(file));
    }
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
