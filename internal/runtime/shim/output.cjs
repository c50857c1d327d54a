'use strict';
// Where an instance serves several invocations at a time, marks in what is printed which of them printed it. What
// does not come through process.stdout and process.stderr, or from no invocation, has no mark.
//
// A mark is a 0, the tag, a space, the invocation's id and a 0. It stands before each line, or part of one; one
// without an id ends a part. The tag is secret from clients: else one whose words are printed could make up marks.
const { AsyncLocalStorage } = require('node:async_hooks');
const { like } = require('./like.cjs');

const { apply } = Reflect;
const { from } = Buffer;
const { endsWith, replaceAll, slice } = String.prototype;
const { toString } = Buffer.prototype;
const printing = new AsyncLocalStorage();
const { getStore, run } = printing;
const Bytes = Uint8Array;

// markOutput gives what runs a function so that what it prints, then or later, is marked with an id.
function markOutput(tag) {
  const mark = (id) => `\0${tag} ${id}\0`;
  const end = mark('');
  for (const stream of [process.stdout, process.stderr]) {
    const { write } = stream;
    stream.write = like(write, function (chunk, ...rest) {
      const id = apply(getStore, printing, []);
      if (id === undefined || !(typeof chunk === 'string' || chunk instanceof Bytes) || chunk.length === 0) return apply(write, this, [chunk, ...rest]);
      const encoding = typeof chunk === 'string' && typeof rest[0] === 'string' ? rest[0] : undefined;
      const bytes = encoding !== undefined || typeof chunk !== 'string'; // which may be no text: latin1 loses nothing
      const text = bytes ? apply(toString, from(chunk, encoding), ['latin1']) : chunk;
      const whole = apply(endsWith, text, ['\n']);
      const lines = apply(replaceAll, whole ? apply(slice, text, [0, -1]) : text, ['\n', () => `\n${mark(id)}`]);
      const marked = mark(id) + lines + (whole ? '\n' : end);
      if (encoding !== undefined) rest.shift();
      return apply(write, this, [bytes ? from(marked, 'latin1') : marked, ...rest]);
    });
  }
  return (id, f) => apply(run, printing, [id, f]);
}

module.exports = { markOutput };
