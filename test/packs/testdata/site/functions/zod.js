const { z, ZodError } = require('zod');

exports.handler = async () => {
  const shape = z.object({ a: z.string().min(2), b: z.coerce.number().optional(), c: z.discriminatedUnion('k', [z.object({ k: z.literal('x') }), z.object({ k: z.literal('y'), n: z.number() })]) });
  const bad = shape.safeParse({ a: 'x', c: { k: 'y' } });
  return [shape.parse({ a: 'xx', b: '7', c: { k: 'x' } }), bad.error instanceof ZodError, bad.error.issues];
};
