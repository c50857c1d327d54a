import { schedule } from '@netlify/functions';

export const handler = schedule('@hourly', async (event) => ({ statusCode: 200, body: `scheduled ${JSON.parse(event.body).next_run}` }));
