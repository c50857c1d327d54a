import { builder } from '@netlify/functions';

export const handler = builder(async (event) => ({ statusCode: 200, body: `built ${event.path}`, ttl: 60 }));
