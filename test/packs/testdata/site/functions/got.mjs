import http from 'node:http';
import got, { HTTPError } from 'got';

export const handler = async () => {
  const server = http.createServer((req, res) => { res.statusCode = req.url === '/ok' ? 200 : 404; res.end(req.url); }).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const client = got.extend({ prefixUrl: `http://127.0.0.1:${server.address().port}`, retry: { limit: 0 } });
  const answers = [await client('ok').text(), await client('none').catch((e) => [e instanceof HTTPError, e.code])];
  server.close();
  return answers;
};
