const fastify = require('fastify');

exports.handler = async () => {
  const app = fastify();
  app.get('/:id', { schema: { params: { type: 'object', properties: { id: { type: 'integer' } } } } }, async (req) => ({ id: req.params.id }));
  const good = await app.inject('/7');
  const bad = await app.inject('/x');
  await app.close();
  return [good.json(), bad.statusCode, bad.json().message];
};
