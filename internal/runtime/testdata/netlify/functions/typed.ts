import type { Config, Context } from '@netlify/functions';

export default async (request: Request, context: Context) => {
  context.cookies.delete('old');
  return new Response(`typed ${context.params.id}`);
};

export const config: Config = { path: '/typed/:id' };
