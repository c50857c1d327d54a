'use strict';
// What the walls refused, in words: errors with the code EWEIR whose message says in one line what was
// tried, which rule came nearest and the smallest line that would allow it. The same stands by itself in
// the error's property weir: { tried, nearest, rule, fix }.
//
// This is help, not a wall: whatever shares this process can spoil it, for itself.
const { normalize } = require('node:path').posix;
const { parse, stringify } = JSON;
const define = Object.defineProperty;
const now = Date.now;
const HEADER = 'weir-denied'; // of an HTTP response: the mark, a space, and the refusal as JSON
const CODE = 'EWEIR';
const kept = 100; // refusals that no error has come for yet
const fresh = 10_000; // ms that one may wait for its error: ports are used again

const plain = /^\/[ -)+->@-Z\\^-z|~]{1,1000}$/; // a path of printable ASCII without the characters of patterns
const sendable = /^[a-z0-9_.:-]{1,253}$/; // a host in the spelling of rules
const sealed = /^\/(var\/task|tmp|proc|sys|dev)(\/|$)/; // where no program can be started

class Words {
  #mark;
  #intrinsic;
  #files; // what the policy says of each kind: { rules, place }
  #waiting = new Map(); // by port or question: { said, until }

  constructor(said) { this.learn(said); }

  // learn takes what the supervisor says instead of what it said before.
  learn({ mark, intrinsic, files }) {
    this.#mark = mark + ' ';
    this.#intrinsic = intrinsic;
    this.#files = files ?? {};
  }

  // response gives the error for an HTTP response that is Weir's own, else null. raw is a list of names
  // and values in turn, strings or buffers.
  response(raw) {
    for (let i = 0; i + 1 < raw?.length; i += 2) {
      if (raw[i].length === HEADER.length && String(raw[i]).toLowerCase() === HEADER) return this.header(String(raw[i + 1]));
    }
    return null;
  }

  // header gives the error for the value of a Weir-Denied header, null if it is not Weir's.
  header(value) {
    if (typeof value !== 'string' || !value.startsWith(this.#mark)) return null;
    const problem = parse(value.slice(this.#mark.length));
    return this.dress(new Error(problem.detail), { ...problem, message: problem.detail });
  }

  // heard keeps what the supervisor says of a refusal until the error comes that it explains.
  heard(said) {
    const key = said.port ?? question(said.type, said.name);
    this.#waiting.delete(key);
    this.#waiting.set(key, { said, until: now() + fresh });
    if (this.#waiting.size > kept) this.#waiting.delete(this.#waiting.keys().next().value);
  }

  // connection puts into words why the connection from a port of ours was reset, if Weir did it.
  connection(e, port) { this.#explain(e, port); }

  // question puts into words why a DNS question was refused, if Weir did it. type is a number.
  question(e, type, name) { this.#explain(e, question(type, name)); }

  #explain(e, key) {
    const found = this.#waiting.get(key);
    this.#waiting.delete(key);
    if (found && now() < found.until) this.dress(e, found.said);
  }

  // datagram puts into words why a datagram was not sent: no rule names its port, or it would have been.
  datagram(e, host, port) {
    const tried = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const fix = sendable.test(host) ? this.#intrinsic ? `policy.outboundNet.allowUdp('${host}', ${port})` : `udp = [${stringify(tried)}]` : undefined;
    let message = `udp://${tried} is not allowed: no udp rule names this port`;
    if (fix) message += `; to allow it, add to ${this.#files.udp?.place}: ${fix}`;
    this.dress(e, { message, tried, fix });
  }

  // file adds to the error of a file or program that no rule allows what would allow it. What the kernel
  // said stays: its code is what programs look at.
  file(e, kind, target) {
    if (e.weir || Object.isFrozen(e)) return; // said already (Node's functions call each other), or can't be
    if (target.length > 1) target = target.replace(/\/+$/, '');
    const rules = this.#files[kind]?.rules ?? [];
    if (rules.some((r) => allows(r, target))) return; // the system's own no
    const tried = `${{ read: 'reading', write: 'writing', exec: 'starting' }[kind]} ${target}`;
    const near = nearest(rules, kind, target);
    const fix = this.#fix(kind, target);
    let text = `${tried} needs a rule`;
    if (near) text += `; the nearest is ${stringify(near)}`;
    if (fix) text += `; to allow it, add to ${this.#files[kind]?.place}: ${fix}`;
    e.message += ` (Weir: ${text})`; // nobody has looked at the stack yet, so it will say the same
    annotate(e, { tried, nearest: near && stringify(near), fix });
  }

  // fix gives the rule that would allow a file or program, undefined where none can or it would mean more.
  #fix(kind, target) {
    if (kind === 'exec' && !target.includes('/')) target = '/usr/bin/' + target;
    if (!plain.test(target) || normalize(target) !== target || kind === 'exec' && sealed.test(target)) return undefined;
    if (kind === 'write' && /^\/tmp\//.test(target)) target = '/tmp/**';
    if (!this.#intrinsic) return `${kind} = [${stringify(target)}]`;
    const call = { read: 'fs.allowRead', write: 'fs.allowWrite', exec: 'childProcess.allowSpawningPath' }[kind];
    return `policy.${call}('${target.replace(/[\\']/g, '\\$&')}')`;
  }

  // dress makes an error one of Weir's.
  dress(e, { message, tried, nearest, rule, fix }) {
    const { stack, message: before } = e;
    e.message = message;
    if (typeof stack === 'string') e.stack = stack.replace(before, () => message);
    e.code = CODE;
    delete e.errno;
    annotate(e, { tried, nearest, rule, fix });
    return e;
  }
}

// question gives the key of a DNS question. The root has no name at all.
function question(type, name) {
  return `${type ?? 0} ${String(name ?? '').toLowerCase().replace(/\.$/, '')}`;
}

// refusal tells whether a refused call is what an error is or comes from. Packages wrap errors: fetch says
// "fetch failed", and what is behind is the cause, or the detail.
function refusal(e) {
  for (let depth = 0; depth < 4 && e !== null && typeof e === 'object'; depth++, e = e.cause ?? e.detail) {
    if (e.code === CODE) return true;
  }
  return false;
}

function annotate(e, weir) {
  for (const k of Object.keys(weir)) if (weir[k] === undefined) delete weir[k];
  define(e, 'weir', { value: weir, configurable: true, writable: true });
}

// allows tells whether a pattern of a file or program, exact or DIR/**, covers a path.
function allows(pattern, target) {
  if (!pattern.endsWith('/**')) return pattern === target;
  const dir = pattern.slice(0, -3);
  return target === dir || target.startsWith(dir + '/');
}

// nearest gives the pattern with the same program name, or with the longest directory in common.
function nearest(rules, kind, target) {
  let best = 0;
  let found;
  for (const rule of rules) {
    const n = kind === 'exec' ? +(base(rule) === base(target)) : common(rule, target);
    if (n > best) [best, found] = [n, rule];
  }
  return found;
}

const base = (p) => p.slice(p.lastIndexOf('/') + 1);

function common(a, b) {
  let n = 0;
  while (n < a.length && a[n] === b[n]) n++;
  return a.lastIndexOf('/', n - 1);
}

module.exports = { Words, refusal };
