// A function under Deno.serve.
import { createRequire } from 'node:module';
import { event } from './event.cjs';

const { handler } = createRequire(process.env.HANDLER)(process.env.HANDLER);

Deno.serve({ port: Number(process.env.PORT), hostname: '127.0.0.1', onListen() {} }, async (request) => {
  const answer = await handler(event(request.method, new URL(request.url).pathname, Object.fromEntries(request.headers)), {});
  return new Response(answer.body, { status: answer.statusCode, headers: answer.headers });
});
