import { createRequire } from 'node:module';

export const handler = async () => {
  const { default: lodash } = await import('lodash');
  const { z } = await import('zod');
  const nanoid = await import('nanoid');
  const path = await import('node:path');
  const missing = await import('no-such-package').catch((e) => e.code);
  return [lodash.chunk([1, 2, 3], 2), z.string().safeParse(7).success, Object.keys(nanoid).sort(), path.default.sep, path.join('a', 'b'),
    missing, typeof createRequire(import.meta.url)];
};
