// A function under node:http, and nothing else: the floor.
const http = require('node:http');
const { event } = require('./event.cjs');
const { handler } = require(process.env.HANDLER);

const server = http.createServer(async (req, res) => {
  const answer = await handler(event(req.method, req.url, req.headers), {});
  res.writeHead(answer.statusCode, answer.headers);
  res.end(answer.body);
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.env.PORT), '127.0.0.1');
