const http = require('node:http');
const axios = require('axios');

exports.handler = async () => {
  const server = http.createServer((req, res) => res.end(JSON.stringify({ at: req.url, agent: req.headers['user-agent'] }))).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const client = axios.create({ baseURL: `http://127.0.0.1:${server.address().port}`, proxy: false });
  const { data, status } = await client.get('/x', { params: { q: ['a b', 'c'] } });
  server.close();
  return [data, status, axios.isAxiosError(await client.get('/gone').catch((e) => e))];
};
