import OpenAI, { APIConnectionError, toFile } from 'openai';

export const handler = async () => {
  const sent = [];
  const client = new OpenAI({ apiKey: 'k', maxRetries: 0, fetch: async (url, init) => { sent.push([String(url), init.method, init.body]); return new Response('{"choices":[{"message":{"content":"hi"}}]}', { headers: { 'content-type': 'application/json' } }); } });
  const { choices } = await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'hello' }] });
  return [sent, choices[0].message.content, (await toFile(Buffer.from('x'), 'x.txt')).name, OpenAI.APIConnectionError === APIConnectionError];
};
