'use strict';
// Tells the supervisor which files and programs the walls refused, and the caller what would allow them.
// This is advice: the walls hold without it, and code in the same process can go round it. A call that
// succeeds costs nothing; one that fails behaves as before, but for what its error says.
const fs = require('node:fs');
const { like, watchEmit } = require('./like.cjs');

const apply = Reflect.apply;
const now = Date.now;
const { getSystemErrorName: errorName } = require('node:util');
const maxReports = 100; // of one process in one second
const refusals = new Set(['ENOENT', 'EACCES', 'EPERM', 'EROFS']);
// What no rule could allow: what every sandbox has, and what Node and common packages look for and do without.
const own = /^\/(var\/task|tmp|dev|proc|sys|opt\/weir)(\/|$)|^\/(etc|usr\/lib|usr\/local)\/ssl\/|^\/usr\/bin\/ldd$|^\/\.dockerenv$|^\/usr\/(local\/)?bin\/prebuilds$|^\/etc\/(os-release|resolv\.conf|hosts|localtime|alpine-release)$|\/package\.json$/;

const READS = ['open', 'readFile', 'readdir', 'opendir', 'access', 'copyFile', 'cp'];
const WRITES = ['writeFile', 'appendFile', 'mkdir', 'rm', 'rmdir', 'unlink', 'rename', 'symlink', 'link', 'truncate', 'chmod', 'mkdtemp'];

// Reading /tmp needs no rule, and what is missing there is missing; but to write there does.
const tmp = /^\/tmp(\/|$)/;

let report;
let explain;
let last; // the error reported last: fs calls itself, and each call sees it
let budget = maxReports;
let since = 0;

// watchDenials has report(kind, target, errno) called for each refusal, not too often, and
// explain(error, kind, target) for the error that tells the caller.
function watchDenials(onReport, onError) {
  report = onReport;
  explain = onError;
  for (const [names, kind] of [[READS, 'read'], [WRITES, 'write']]) {
    for (const name of names) {
      wrapSync(fs, name + 'Sync', kind);
      wrapCallback(fs, name, kind);
      wrapPromise(fs.promises, name, kind);
    }
  }
  watchPrograms();
}

// refused reports a failed call of fs, once, if a rule could have allowed it.
function refused(kind, e, args) {
  if (!e || e === last || !refusals.has(e.code)) return;
  last = e;
  let target = typeof e.path === 'string' ? e.path : '';
  if (e.syscall === 'copyfile' && typeof e.dest === 'string' && ruled('write', e.dest, e.code)) { target = e.dest; kind = 'write'; }
  if (kind === 'read' && e.syscall === 'open' && writes(args[1])) kind = 'write';
  if (!target.startsWith('/') || !ruled(kind, target, e.code)) return;
  tell(kind, target, e.code, e.syscall);
  explain(e, kind, target);
}

// ruled says whether a rule could have allowed it.
function ruled(kind, target, code) {
  return !own.test(target) || kind === 'write' && code !== 'ENOENT' && tmp.test(target);
}

function writes(flags) {
  if (typeof flags === 'number') return (flags & 3) !== 0;
  return typeof flags === 'string' && /[wa+]/.test(flags);
}

function tell(kind, target, errno, call) {
  const t = now();
  if (t - since > 1000) { since = t; budget = maxReports; }
  if (budget-- > 0) report(kind, target.slice(0, 4096), errno, typeof call === 'string' ? call.slice(0, 32) : '');
}

function wrapSync(object, name, kind) {
  const original = object[name];
  if (typeof original !== 'function') return;
  object[name] = like(original, function (...args) {
    try {
      return apply(original, this, args);
    } catch (e) {
      refused(kind, e, args);
      throw e;
    }
  });
}

function wrapCallback(object, name, kind) {
  const original = object[name];
  if (typeof original !== 'function') return;
  object[name] = like(original, function (...args) {
    const callback = args[args.length - 1];
    if (typeof callback === 'function') {
      args[args.length - 1] = function (...results) {
        refused(kind, results[0], args);
        return apply(callback, this, results);
      };
    }
    return apply(original, this, args);
  });
}

function wrapPromise(object, name, kind) {
  const original = object[name];
  if (typeof original !== 'function') return;
  object[name] = like(original, function (...args) {
    const promise = apply(original, this, args);
    if (typeof promise?.then !== 'function') return promise;
    // Not the promise itself: with a handler on it, a rejection that nobody catches would go unseen.
    return promise.then(undefined, (e) => {
      refused(kind, e, args);
      throw e;
    });
  });
}

// watchPrograms reports every program that could not be started.
function watchPrograms() {
  const cp = require('node:child_process');
  watchEmit(cp.ChildProcess.prototype, (event, e) => {
    if (event === 'error' && refusals.has(e?.code) && String(e.syscall).startsWith('spawn')) explain(e, 'exec', String(e.path));
    return false;
  });
  const failed = (file, e) => {
    const code = typeof e === 'number' ? errorName(e) : e?.code;
    if (code && refusals.has(code)) tell('exec', String(file), code);
  };
  const spawn = cp.ChildProcess.prototype.spawn;
  cp.ChildProcess.prototype.spawn = like(spawn, function (options) {
    let error;
    try {
      const r = apply(spawn, this, [options]);
      if (r) error = r;
      return r;
    } catch (e) {
      error = e;
      throw e;
    } finally {
      if (error) failed(options?.file, error);
    }
  });
  for (const name of ['spawnSync', 'execFileSync', 'execSync']) {
    const original = cp[name];
    cp[name] = like(original, function (...args) {
      let error;
      try {
        const r = apply(original, this, args);
        error = r?.error;
        return r;
      } catch (e) {
        if (typeof e?.syscall === 'string' && e.syscall.startsWith('spawnSync')) error = e;
        throw e;
      } finally {
        if (error) {
          const file = String(error.path ?? args[0]);
          failed(file, error);
          if (refusals.has(error.code)) explain(error, 'exec', file);
        }
      }
    });
  }
}

module.exports = { watchDenials };
