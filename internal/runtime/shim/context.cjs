'use strict';
// The second argument of Netlify Functions v2, and the global Netlify.
const { AsyncLocalStorage } = require('node:async_hooks');

// Where @netlify/functions looks for the context, too.
const KEY = Symbol.for('@netlify/functions/request-context-store');
const store = globalThis[KEY] = new AsyncLocalStorage();

// contextOf makes the context of an invocation from what the gateway tells by headers and the event.
function contextOf(event, request, cookies, call) {
  const header = (name) => request.headers.get(name) ?? '';
  const { SITE_ID: id, SITE_NAME: name, URL: site, AWS_REGION: region } = process.env;
  return {
    account: { id: header('x-nf-account-id') },
    cookies: cookies.face(),
    deploy: {
      branch: header('x-nf-branch'),
      context: header('x-nf-deploy-context'),
      id: header('x-nf-deploy-id'),
      published: header('x-nf-deploy-published') === '1',
      skewProtectionToken: event.skewProtectionToken,
    },
    flags: flagsOf(event.flags ?? {}),
    geo: geoOf(header('x-nf-geo')),
    ip: header('x-nf-client-connection-ip'),
    json: (value) => Response.json(value),
    log: console.log,
    next: () => { throw new Error('context.next is not implemented for serverless functions'); },
    params: event.pathParameters ?? {},
    path: event.route ?? undefined,
    requestId: header('x-nf-request-id') || call.meta.id,
    rewrite: async (to) => fetch(new URL(to, request.url)),
    server: { region },
    site: { id, name, url: site },
    url: new URL(request.url),
    waitUntil(promise) {
      if (arguments.length === 0) throw new TypeError('waitUntil: At least 1 argument required, but only 0 passed');
      call.later(promise);
    },
  };
}

function flagsOf(values) {
  const evaluations = new Set();
  return { get: (key) => { evaluations.add(key); return values[key]; }, evaluations };
}

function geoOf(header) {
  const { postal_code: postalCode, ...geo } = decoded(header) ?? {};
  return postalCode === undefined ? geo : { ...geo, postalCode };
}

// decoded reads a header that holds JSON in base64, null if there is none.
function decoded(header) {
  if (header === '') return null; // to throw and catch costs more than all else here
  try {
    return JSON.parse(Buffer.from(header, 'base64').toString());
  } catch {
    return null;
  }
}

// within runs f so that Netlify.context is the context in it and in all that it begins, and netlifyIdentityContext,
// which @netlify/identity asks, what the request tells of who has sent it.
function within(context, request, f) {
  return store.run({ context, identity: decoded(request.headers.get('x-nf-identity-info') ?? '') }, f);
}

// installNetlify makes the globals Netlify and netlifyIdentityContext.
function installNetlify() {
  Object.defineProperty(globalThis, 'netlifyIdentityContext', { get: () => store.getStore()?.identity ?? null, configurable: true });
  globalThis.Netlify = {
    get context() { return store.getStore()?.context ?? null; },
    env: {
      get: (name) => process.env[name],
      has: (name) => name in process.env,
      set: (name, value) => { process.env[name] = value; },
      delete: (name) => { delete process.env[name]; },
      toObject: () => ({ ...process.env }),
    },
  };
}

module.exports = { contextOf, within, installNetlify };
