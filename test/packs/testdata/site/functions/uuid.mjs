import { v4, v5, validate, version } from 'uuid';

export const handler = async () => [validate(v4()), version(v4()), v5('x', v5.URL)];
