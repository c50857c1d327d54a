const express = require('express');
const serverless = require('serverless-http');

const app = express();
app.use(express.json());
app.post('/hello/:name', (req, res) => res.set('x-lines', '1').status(201).json({ name: req.params.name, body: req.body, etag: !!app.get('etag') }));
app.get('/boom', () => { throw Object.assign(new Error('boom'), { status: 418 }); });
app.use((err, req, res, next) => res.status(err.status).send(err.message));

const run = serverless(app);
exports.handler = async () => {
  const ask = async (httpMethod, path, body) => {
    const { statusCode, headers, body: text } = await run({ httpMethod, path, headers: { 'content-type': 'application/json' }, body, multiValueHeaders: {}, requestContext: {} }, {});
    return [statusCode, headers['x-lines'], headers.etag, text];
  };
  return [await ask('POST', '/hello/weir', '{"a":1}'), await ask('GET', '/boom'), await ask('GET', '/none')];
};
