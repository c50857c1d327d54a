'use strict';
// The context of functions v2, cookies and the global Netlify.
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { start, get } = require('./client.cjs');
const { installNetlify } = require('../context.cjs');

installNetlify();
const run = (handler, event = get(), meta) => start({ form: 'v2', handler }).run(event, meta);

// cookies gives the Set-Cookie values of an answer.
async function cookies(change, header = []) {
  const c = await run((r, context) => { change(context.cookies); return new Response('', { headers: header }); }, get(undefined, { multiValueHeaders: { cookie: ['a=1; b = x=y ;broken; =none'] } }));
  if (c.error) throw Object.assign(new Error(c.error.errorMessage), { name: c.error.errorType });
  return c.head.multiValueHeaders?.['set-cookie'];
}

test('the context holds what the gateway tells', async () => {
  Object.assign(process.env, { SITE_ID: 'site-1', SITE_NAME: 'name', URL: 'https://site.test', AWS_REGION: 'us-east-1' });
  const geo = { city: 'Bern', country: { code: 'CH', name: 'Switzerland' }, postal_code: '3000' };
  let c;
  await run((r, context) => { c = context; }, get('http://site.test/p/7?q=1', {
    route: '/p/:id', pathParameters: { id: '7' }, flags: { new: true }, skewProtectionToken: 'skew',
    multiValueHeaders: { 'x-nf-account-id': ['acc'], 'x-nf-branch': ['main'], 'x-nf-deploy-id': ['dep'], 'x-nf-deploy-context': ['production'], 'x-nf-deploy-published': ['1'],
      'x-nf-client-connection-ip': ['192.0.2.1'], 'x-nf-request-id': ['req'], 'x-nf-geo': [Buffer.from(JSON.stringify(geo)).toString('base64')] },
  }));
  assert.deepEqual([c.account, c.geo, c.ip, c.params, c.path, c.requestId, c.url.href], [{ id: 'acc' }, { city: 'Bern', country: geo.country, postalCode: '3000' }, '192.0.2.1', { id: '7' }, '/p/:id', 'req', 'http://site.test/p/7?q=1']);
  assert.deepEqual(c.deploy, { branch: 'main', context: 'production', id: 'dep', published: true, skewProtectionToken: 'skew' });
  assert.deepEqual([c.server, c.site], [{ region: 'us-east-1' }, { id: 'site-1', name: 'name', url: 'https://site.test' }]);
  assert.deepEqual([c.flags.get('new'), c.flags.get('old'), [...c.flags.evaluations]], [true, undefined, ['new', 'old']]);
  assert.deepEqual([await c.json({ a: 1 }).json(), typeof c.log], [{ a: 1 }, 'function']);
  assert.throws(() => c.next(), /not implemented for serverless functions/);
  assert.throws(() => c.waitUntil(), TypeError);
});

test('the context of an event that tells nothing', async () => {
  for (const geo of ['', 'e30', '****', Buffer.from('null').toString('base64')]) {
    let c;
    await run((r, context) => { c = context; }, get(undefined, { multiValueHeaders: { 'x-nf-geo': [geo] } }));
    assert.deepEqual([c.account, c.deploy.published, c.geo, c.ip, c.params, c.path, c.requestId], [{ id: '' }, false, {}, '', {}, undefined, 'id-1']);
  }
});

test('cookies are read', async () => {
  let seen;
  await cookies((c) => { seen = ['a', 'b', 'c', 'broken', ''].map((n) => c.get(n)); });
  assert.deepEqual(seen, ['1', 'x=y', undefined, undefined, undefined]);
});

test('cookies that are set and deleted go out one by one, after those of the Response', async () => {
  assert.deepEqual(await cookies((c) => {
    c.set('one', '1');
    c.set({ name: 'two', value: '2', maxAge: 60, domain: 'site.test', path: '/p', secure: true, httpOnly: true, sameSite: 'Lax', expires: new Date(0), unparsed: ['Priority=High'] });
    c.delete('three');
    c.delete({ name: 'four', path: '/p', domain: 'site.test' });
    c.set('__Host-five', '5');
  }, [['set-cookie', 'own=1'], ['set-cookie', 'own=2']]), [
    'own=1', 'own=2', 'one=1',
    'two=2; Secure; HttpOnly; Max-Age=60; Domain=site.test; SameSite=Lax; Path=/p; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Priority=High',
    'three=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT',
    'four=; Domain=site.test; Path=/p; Expires=Thu, 01 Jan 1970 00:00:00 GMT',
    '__Host-five=5; Secure; Path=/',
  ]);
  assert.equal(await cookies(() => {}), undefined);
});

test('no cookie ends its field or begins another one', async () => {
  for (const bad of [['', '1'], ['a b', '1'], ['a=b', '1'], ['a;b', '1'], ['a\n', '1'], ['a', '1;2'], ['a', '1\r\nx: y'], [{ name: 'a', value: '1', path: '/;x' }],
    [{ name: 'a', value: '1', domain: 'x\n' }], [{ name: 'a', value: '1', unparsed: ['x; y'] }], [{ value: '1' }]]) {
    await assert.rejects(cookies((c) => c.set(...bad)), { name: 'TypeError' }, JSON.stringify(bad));
  }
});

test('waitUntil keeps the invocation from being over, and nothing else', async () => {
  let done;
  const f = start({ form: 'v2', handler: (r, c) => { c.waitUntil(new Promise((r) => { done = r; })); c.waitUntil(7); return new Response('x'); } });
  const c = f.begin(get());
  await c.until(() => c.frames.length > 0);
  await new Promise(setImmediate);
  assert.deepEqual(c.frames, ['result']);
  done();
  await c.settled;
  assert.deepEqual(c.frames, ['result', 'settled!']);
});

test('a promise of waitUntil that fails is told in the log, one that never ends is left', async () => {
  const f = start({ form: 'v2', handler: (r, c) => { c.waitUntil(Promise.reject(new Error('in vain'))); c.waitUntil(new Promise(() => {})); return new Response('x'); } });
  const c = f.begin(get());
  await c.until(() => c.frames.length > 0);
  await new Promise(setImmediate);
  assert.deepEqual(c.frames, ['result']);
  f.idle();
  assert.deepEqual((await c.settled).frames, ['result', 'settled!']);
});

test('Netlify.context is that of the invocation, wherever it is asked for', async () => {
  assert.equal(Netlify.context, null);
  const f = start({ form: 'v2', handler: async () => { await new Promise(setImmediate); return new Response(Netlify.context.url.pathname); } });
  const bodies = await Promise.all(['/a', '/b'].map((p) => f.run(get('http://site.test' + p))));
  assert.deepEqual(bodies.map((c) => c.body), ['/a', '/b']);
});

test('netlifyIdentityContext is what the request tells of its sender', async () => {
  assert.equal(netlifyIdentityContext, null);
  const f = start({ form: 'v2', handler: async () => Response.json(netlifyIdentityContext) });
  const info = { url: 'https://site.test/.netlify/identity', user: { sub: 'u1' } };
  for (const [header, want] of [[Buffer.from(JSON.stringify(info)).toString('base64'), info], ['****', null]]) {
    const c = await f.run(get('http://site.test/', { multiValueHeaders: { 'x-nf-identity-info': [header] } }));
    assert.deepEqual(JSON.parse(c.body), want);
  }
});

test('Netlify.env', () => {
  const { env } = Netlify;
  env.set('WEIR_TEST', '1');
  assert.deepEqual([env.get('WEIR_TEST'), env.has('WEIR_TEST'), env.toObject().WEIR_TEST, process.env.WEIR_TEST], ['1', true, '1', '1']);
  env.delete('WEIR_TEST');
  assert.deepEqual([env.get('WEIR_TEST'), env.has('WEIR_TEST')], [undefined, false]);
});
