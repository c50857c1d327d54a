'use strict';
// The first code in a function's process. It takes the load request from the supervisor before any
// of the function's own code exists, loads the function and then answers invocations.
//
// Whatever shares this process is hostile: it may write to the channel, patch every prototype and
// call everything twice. What the shim needs it captures now; what it can't protect (its own memory)
// is why the walls stand outside.
const { Channel } = require('./channel.cjs');
const { loadHandler } = require('./load.cjs');
const { Runner } = require('./runner.cjs');
const { errorOf, installStackTraces } = require('./errors.cjs');
const { watchDenials } = require('./denials.cjs');
const { watchRefusals } = require('./net.cjs');
const { watchResponses } = require('./http.cjs');
const { Words, refusal } = require('./words.cjs');
const { watchEnvironment } = require('./env.cjs');
const { installLambda } = require('./lambda.cjs');
const { installNetlify } = require('./context.cjs');

let channel = new Channel(3);
const zygote = process.argv[2] === 'zygote' ? require('./zygote.cjs') : null;
if (zygote) process.argv.length = 2; // what the function sees
const exit = process.exit.bind(process);
const printError = console.error.bind(console);
let runner = null;

channel.onload = async (request) => {
  const output = request.tag ? require('./output.cjs') : null; // before any code of the function's
  setEnvironment(request.env);
  if (request.watched) watchEnvironment(request.watched, (name) => channel.send('report', { kind: 'env', target: name }));
  installStackTraces(request.root);
  const words = new Words(request.words);
  watch(words);
  installLambda();
  installNetlify();
  process.on('uncaughtException', onFatal);
  try {
    process.chdir(request.root);
    if (zygote) await zygote.rehearse((own, to) => new Runner(own, request, to), channel);
    const loaded = await loadHandler(request, () => channel.send('report', { kind: 'code' }));
    if (zygote) { // what follows happens in each child
      await zygote.become(Channel, channel, { form: loaded.form }, (own, first) => { channel = own; request = first; });
      words.learn(request.words);
    }
    runner = new Runner(loaded, request, channel);
    if (output) {
      const within = output.markOutput(request.tag);
      channel.oninvoke = (seq, meta, event) => within(meta.id, () => runner.run(seq, meta, event));
    }
    channel.send('loaded', { form: loaded.form });
  } catch (e) {
    channel.send('failed', errorOf(e));
  }
};

channel.oninvoke = (seq, meta, event) => runner.run(seq, meta, event);
channel.onbody = (seq, bytes) => runner.of(seq)?.body.push(bytes);
channel.oncredit = (seq, n) => runner.of(seq)?.credited(n);
channel.oncancel = (seq) => runner.of(seq)?.cancel();

// watch lets the shim see what the walls refuse, so that records name it and errors explain it.
function watch(words) {
  channel.onrefused = (said) => words.heard(said);
  watchDenials((kind, target, errno, call) => channel.send('report', { kind, target, errno, call }),
    (e, kind, target) => words.file(e, kind, target));
  watchRefusals(words);
  watchResponses(words);
  require('node:module').syncBuiltinESMExports();
}

// setEnvironment makes process.env what the function may see. The values come over the channel, so
// that /proc/self/environ holds none of them.
function setEnvironment(env) {
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  for (const [name, value] of Object.entries(env)) process.env[name] = value;
}

// onFatal ends the process after an error that nobody caught, as Lambda does; the invocation in
// flight answers with it. A refused call that nobody waits for only gets a line in the log: a package
// must not be able to end the function by trying what it may not.
function onFatal(e, origin) {
  const error = errorOf(e);
  const stray = origin === 'unhandledRejection' && refusal(e);
  if (origin === 'unhandledRejection') error.errorType = 'Runtime.UnhandledPromiseRejection';
  printError(error.trace.join('\n'));
  if (stray) return;
  if (runner) runner.fatal(error);
  else channel.send('failed', error);
  exit(1);
}

// A process that waits for its function uses the time. The function sees the same command line as ever.
if (process.argv[2] === 'blank') {
  process.argv.length = 2;
  require('./prewarm.cjs');
}
