// What the authors of functions see of a denial through the packages they call with: the error's own
// message, and those behind it.
const { S3Client, GetObjectCommand } = require('@aws-sdk/client-s3');
const axios = require('axios');
const got = import('got');
const nodeFetch = import('node-fetch');
const { Client } = require('pg');
const Stripe = require('stripe');
const undici = require('undici');

const calls = {
  axios: () => axios.get('https://axios.test/'),
  axiosFetch: () => axios.get('https://axios-fetch.test/', { adapter: 'fetch' }),
  got: async () => (await got).default('https://got.test/').json(),
  nodeFetch: async () => (await nodeFetch).default('https://node-fetch.test/'),
  undici: () => undici.request('https://undici.test/'),
  undiciFetch: () => undici.fetch('https://undici-fetch.test/', { dispatcher: new undici.RetryAgent(new undici.Agent()) }),
  fetch: () => fetch('https://fetch.test/'),
  aws: () => new S3Client({ region: 'eu-west-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } }).send(new GetObjectCommand({ Bucket: 'b', Key: 'k' })),
  pg: () => new Client({ host: 'db.test', port: 5432, user: 'u', database: 'd' }).connect(),
  pgTLS: () => new Client({ host: 'db-tls.test', port: 5432, user: 'u', database: 'd', ssl: true }).connect(),
  stripeOnce: () => new Stripe('sk_test_1', { host: 'once.stripe.test', maxNetworkRetries: 0 }).charges.create({ amount: 100, currency: 'usd' }),
  stripe: () => new Stripe('sk_test_1').charges.create({ amount: 100, currency: 'usd' }),
};

const messages = (e) => (e ? [`${e.code}: ${e.message}`, ...messages(e.cause ?? e.detail)] : []);

exports.handler = async () => {
  const out = {};
  for (const [name, call] of Object.entries(calls)) out[name] = await call().then(() => ['no error'], messages);
  return out;
};
