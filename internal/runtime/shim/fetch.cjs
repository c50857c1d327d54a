'use strict';
// Handlers of Netlify Functions v2: export default function (Request, Context), answering by a Response,
// or an object with such a function as fetch.
const { Answer } = require('./answer.cjs');
const { Cookies } = require('./cookies.cjs');
const { contextOf, within } = require('./context.cjs');

const withoutBody = ['GET', 'HEAD'];

// runFetch runs such a handler.
function runFetch(handler, event, lambdaContext, call) {
  const answer = new Answer(call);
  call.onidle = () => answer.fail(new Error('the function gave no Response, and nothing is left that could make it'));
  respond(handler, event, call, answer).catch((e) => answer.fail(e));
}

async function respond(handler, event, call, answer) {
  const request = requestOf(event, call);
  const cookies = new Cookies(request.headers.get('cookie'));
  const context = contextOf(event, request, cookies, call);
  let response = await within(context, request, () => handler(request, context));
  if (response === undefined) response = new Response(null, { status: 204 });
  const head = headOf(response, cookies);
  if (request.method === 'HEAD') {
    response.body?.cancel().catch(() => {});
  } else if (response.body) {
    return stream(head, response.body.getReader(), call, answer);
  }
  call.result(head);
}

// stream hands on the body of a Response until its end, or until nobody wants it any more.
async function stream(head, reader, call, answer) {
  const cancel = () => reader.cancel(call.signal.reason).catch(() => {});
  if (call.cancelled) cancel();
  call.oncancel = cancel;
  answer.start(head);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return answer.end();
      await answer.write(bytesOf(value));
    }
  } catch (e) {
    reader.cancel(e).catch(() => {}); // a piece that is none, or its own error
    throw e;
  }
}

function bytesOf(chunk) {
  if (typeof chunk === 'string') return Buffer.from(chunk);
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new TypeError(`a body gave ${chunk === null ? 'null' : `a ${typeof chunk}`}, which is neither bytes nor text`);
}

// requestOf makes the Request of an event, which has the shape of v1.
function requestOf(event, call) {
  const headers = new Headers();
  for (const [name, values] of Object.entries(event.multiValueHeaders ?? event.headers ?? {})) {
    for (const value of [values].flat()) {
      try {
        headers.append(name, value);
      } catch {
        console.warn(`Discarded request header '${name}' because it contains characters that no header may have`);
      }
    }
  }
  const method = event.httpMethod ?? 'GET';
  const url = event.rawUrl ?? urlOf(event);
  const init = { method, headers, signal: call.signal };
  if (!withoutBody.includes(method)) {
    if (call.body) Object.assign(init, { body: call.body.stream(), duplex: 'half' });
    else if (event.body) init.body = event.isBase64Encoded ? Buffer.from(event.body, 'base64') : event.body;
  }
  return new Request(url, init);
}

// urlOf makes the URL of an event that has none: who invokes a function without HTTP may leave it out.
function urlOf({ path, rawQuery }) {
  const url = new URL(path ?? '/', process.env.URL ?? 'http://localhost');
  url.search = rawQuery ?? '';
  return url.href;
}

// headOf gives what stands before the body, as a v1 handler gives it.
function headOf(response, cookies) {
  if (typeof response !== 'object' || typeof response?.status !== 'number' || typeof response.headers?.getSetCookie !== 'function') {
    throw new TypeError(`the function gave ${response === null ? 'null' : `a value of type ${typeof response}`}; it must give a Response, or undefined`);
  }
  if (response.type === 'error') throw new TypeError('the function gave Response.error(), which no client can be sent');
  if (response.bodyUsed || response.body?.locked) throw new TypeError('the function gave a Response whose body was read already, or is being read');
  const headers = {};
  for (const [name, value] of response.headers) if (name !== 'set-cookie') headers[name] = value;
  const setCookie = [...response.headers.getSetCookie(), ...cookies.changes];
  const head = { statusCode: response.status, headers };
  if (setCookie.length > 0) head.multiValueHeaders = { 'set-cookie': setCookie };
  return head;
}

module.exports = { runFetch };
