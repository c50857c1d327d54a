'use strict';
// What a person sees of an error: its type, its message and a stack that names the source, not the
// bundle. Source maps are read only when a stack is looked at.
const fs = require('node:fs');
const path = require('node:path');

const readFile = fs.readFileSync;
const { parse } = JSON;
const maps = new Map();
const maxTrace = 64;
const maxCauses = 4;
const maxText = 16384;

// errorOf gives what AWS Lambda reports of a thrown value.
function errorOf(e) {
  try {
    if (e === null || typeof e !== 'object' || typeof e.message !== 'string') {
      return { errorType: typeof e, errorMessage: text(e), trace: [] };
    }
    const trace = String(e.stack ?? '').split('\n').filter((l) => !l.includes('/opt/weir/') && !l.includes('node:internal/')).slice(0, maxTrace);
    return { errorType: text(e.name ?? 'Error'), errorMessage: text(e.message), trace: [...trace, ...causes(e)].map(text) };
  } catch {
    return { errorType: 'Error', errorMessage: 'an error that can not be shown', trace: [] };
  }
}

// causes gives a line for each error that led to e: what fetch throws says no more than "fetch failed", and
// some packages keep the cause as detail.
function causes(e) {
  const lines = [];
  const next = (c) => [c.cause, c.detail].find((c) => typeof c?.message === 'string');
  for (let c = next(e); c && lines.length < maxCauses; c = next(c)) lines.push(`  [cause]: ${c.name}${typeof c.code === 'string' ? ` [${c.code}]` : ''}: ${c.message}`);
  return lines;
}

function text(v) {
  return String(v).slice(0, maxText);
}

// installStackTraces maps positions in files below root that have a source map beside them.
function installStackTraces(root) {
  Error.prepareStackTrace = (error, frames) => {
    let head;
    try { head = Error.prototype.toString.call(error); } catch { head = 'Error'; }
    return [head, ...frames.map((f) => '    at ' + describe(f, root))].join('\n');
  };
}

function describe(frame, root) {
  const plain = String(frame);
  const file = frame.getFileName();
  if (typeof file !== 'string') return plain;
  const at = file.startsWith('file://') ? new URL(file).pathname : file;
  if (!at.startsWith(root + '/')) return plain;
  const origin = mapFor(at)?.findEntry(frame.getLineNumber() - 1, frame.getColumnNumber() - 1);
  if (origin?.originalSource === undefined) return plain;
  const source = path.resolve(path.dirname(at), origin.originalSource.replace(/^file:\/\//, ''));
  const where = `${source}:${origin.originalLine + 1}:${origin.originalColumn + 1}`;
  const paren = plain.lastIndexOf(' (');
  return paren > 0 ? `${plain.slice(0, paren)} (${where})` : where;
}

function mapFor(file) {
  if (!maps.has(file)) {
    let map = null;
    try {
      const { SourceMap } = require('node:module');
      map = new SourceMap(parse(readFile(file + '.map', 'utf8')));
    } catch { /* no map: the stack shows the bundle */ }
    maps.set(file, map);
  }
  return maps.get(file);
}

module.exports = { errorOf, installStackTraces };
