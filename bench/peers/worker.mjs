// A function as a worker of workerd; "handler" becomes the function when it is bundled.
import { event } from './event.cjs';
import { handler } from 'handler';

export default {
  async fetch(request) {
    const answer = await handler(event(request.method, new URL(request.url).pathname, Object.fromEntries(request.headers)), {});
    return new Response(answer.body, { status: answer.statusCode, headers: answer.headers });
  },
};
