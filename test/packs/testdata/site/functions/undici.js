const http = require('node:http');
const { Agent, request, fetch, errors, MockAgent } = require('undici');

exports.handler = async () => {
  const server = http.createServer((req, res) => res.end(req.method + req.url)).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const dispatcher = new Agent();
  const at = `http://127.0.0.1:${server.address().port}`;
  const answers = [await (await request(at + '/a', { dispatcher })).body.text(), await (await fetch(at + '/b', { dispatcher })).text(),
    await request('http://127.0.0.1:1/').catch((e) => e.code), errors.ConnectTimeoutError.name, typeof MockAgent];
  await dispatcher.close();
  server.close();
  return answers;
};
