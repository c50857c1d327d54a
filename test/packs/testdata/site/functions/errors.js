const lodash = require('lodash');

function thrower() {
  throw new RangeError('from here');
}

exports.handler = async () => {
  const stack = (f) => { try { f(); } catch (e) { return e.stack.split('\n').slice(0, 3).map((l) => l.replaceAll(/^.*\/(?=functions|node_modules)/g, '')); } };
  const missing = () => { try { require('no-such-package'); } catch (e) { throw e; } };
  return [stack(thrower), stack(() => lodash.attempt(thrower) && lodash.template('<%= x.y %>')({ x: null })).slice(0, 1), stack(missing)[0]];
};
