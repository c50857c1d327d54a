// One answer of a function, in a process of its own.
const { event } = require('./event.cjs');

require(process.env.HANDLER).handler(event('GET', '/', {}), {}).then((answer) => process.stdout.write(answer.body));
