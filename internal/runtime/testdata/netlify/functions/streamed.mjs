import { stream } from '@netlify/functions';

export const handler = stream(async (event) => ({
  statusCode: 201,
  headers: { 'x-form': 'stream' },
  body: new ReadableStream({
    async start(controller) {
      for (let i = 0; i < 20; i++) controller.enqueue(Buffer.alloc(10_000, 'x'));
      controller.close();
    },
  }),
}));
