// Attempts of limits.js that only the time ends.
exports.handler = require('./limits.js').handler;
