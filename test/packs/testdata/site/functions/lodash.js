const _ = require('lodash');
const groupBy = require('lodash/groupBy');
const fp = require('lodash/fp');

exports.handler = async () => [_.template('<% for (const x of xs) { %><%- x %>,<% } %>')({ xs: ['a', '<b>'] }), groupBy([1.2, 1.8, 2.1], Math.floor),
  fp.flow(fp.map((x) => x * 2), fp.sum)([1, 2, 3]), _.VERSION, Object.keys(_).length];
