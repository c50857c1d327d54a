const { Client, Pool, types } = require('pg');
const pg = require('pg');

exports.handler = async () => {
  const client = new Client({ host: '127.0.0.1', port: 1, password: 'x' });
  return [await client.connect().catch((e) => e.code), types.getTypeParser(20)('7'), pg.escapeIdentifier('a"b'), typeof Pool, Object.keys(pg).sort(), pg.native];
};
