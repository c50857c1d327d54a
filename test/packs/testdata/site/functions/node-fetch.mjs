import fetch, { Headers, Response, FetchError } from 'node-fetch';

export const handler = async () => {
  const said = await fetch('http://127.0.0.1:1/').catch((e) => [e instanceof FetchError, e.code]);
  return [said, await new Response('text', { headers: new Headers({ a: 'b' }) }).text(), await (await fetch('data:text/plain,hello')).text()];
};
