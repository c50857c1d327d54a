export default async () => { throw new RangeError('on purpose'); };
