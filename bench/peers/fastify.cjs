// A function under fastify.
const { createRequire } = require('node:module');
const { event } = require('./event.cjs');
const { handler } = require(process.env.HANDLER);

const app = createRequire(process.env.PEERS)('fastify')({ keepAliveTimeout: 60000 });
app.all('/*', async (req, reply) => {
  const answer = await handler(event(req.method, req.url, req.headers), {});
  return reply.code(answer.statusCode).headers(answer.headers ?? {}).send(answer.body);
});
app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
