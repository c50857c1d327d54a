'use strict';
// Calls one handler on bare Node, as any function host without walls would. Standard input holds
// { file, event, routes, resolver }. There is no internet here: routes maps each "host:port" that the
// demo knows to the address of a server on 127.0.0.1, resolver is the name server, and every other connection fails.
// The answer goes to file descriptor 3, so that nothing the function prints is taken for it.
const dns = require('node:dns');
const fs = require('node:fs');
const net = require('node:net');

const { file, event, routes, resolver } = JSON.parse(fs.readFileSync(0, 'utf8'));

dns.setServers([resolver]);
dns.promises.setServers([resolver]);

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const [options, done] = Array.isArray(args[0]) ? args[0] : [args[0], args[1]];
  const to = routes[`${options.host}:${options.port}`];
  if (!to) throw Object.assign(new Error(`the demo has no ${options.host}:${options.port}`), { code: 'ENETUNREACH' });
  const [host, port] = to.split(':');
  const local = { ...options, host, port: Number(port) };
  return typeof done === 'function' ? connect.call(this, local, done) : connect.call(this, local);
};

(async () => {
  let answer;
  try {
    answer = { result: await require(file).handler(event, {}) };
  } catch (e) {
    answer = { error: String(e?.stack ?? e) };
  }
  fs.writeSync(3, JSON.stringify(answer));
})();
