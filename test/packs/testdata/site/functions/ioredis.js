const Redis = require('ioredis');

exports.handler = async () => {
  const redis = new Redis({ lazyConnect: true, port: 1, retryStrategy: null, enableOfflineQueue: false });
  redis.on('error', () => {});
  const said = await redis.get('x').catch((e) => e.message);
  redis.disconnect();
  return [said, typeof Redis.Cluster, Redis.default === Redis, Redis.Command.checkFlag('BLOCKING_COMMANDS', 'blpop')];
};
