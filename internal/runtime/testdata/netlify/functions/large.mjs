export default async () => new Response('y'.repeat(300_000), { headers: [['set-cookie', 'a=1'], ['set-cookie', 'b=2']] });
