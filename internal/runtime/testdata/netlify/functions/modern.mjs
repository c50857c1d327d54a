import { getContext } from '@netlify/functions';

export default async (request, context) => {
  context.cookies.set('a', '1');
  context.cookies.set('b', '2');
  const told = { path: context.url.pathname, id: context.requestId, same: getContext() === context && Netlify.context === context, geo: context.geo.city };
  return Response.json({ ...told, body: await request.text() }, { status: 202, headers: { 'x-form': 'v2' } });
};

export const config = { path: '/modern/:id' };
