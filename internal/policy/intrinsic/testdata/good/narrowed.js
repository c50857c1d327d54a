// Everything that loads and is held as less than it says.
const IntrinsicLambda = require('@intrinsic/lambda');
const MONGO = 'mongodb://user:password@mongo-01.example.org:27018,mongo-02.example.org/shop?replicaSet=rs0';

module.exports = new IntrinsicLambda()
  .virtualizeLib('mongodb')
  .virtualizeLib('pg')
  .configurePolicies(policy => {
    policy.outboundHttp.allowConnect('https://proxy.example.com/');
    policy.outboundHttp.allowTrace('https://example.com/');
    policy.outboundHttp.allowGet('https://example.com/items?limit=10#top');
    policy.outboundHttp.allowGet('https://example.com/item-?');
    policy.outboundHttp.allowGet('https://example.com/a**/b');
    policy.outboundHttp.allowGet(`https://example.com/${process.env.API_KEY}/${process.env.NODE_ENV}`);
    policy.outboundNet.allowTcp('/var/run/docker.sock');
    policy.outboundNet.allowUdp('8.8.8.8', 53);
    policy.outboundNet.allowUdp('stats.internal', 8125);
    policy.fs.disableDefaults();
    policy.fs.allowRead('/**');
    policy.fs.allowRead('/srv/data/*.json');
    policy.fs.allowRead('/srv/data/**/*.txt').allowRead('/srv/data/**/*').allowRead('/srv/data/a**');
    policy.fs.allowRead('/proc/cpuinfo');
    policy.fs.allowRead('/tmp/*.txt').allowRead('/var/task/**/*.html');
    policy.fs.allowWrite('/tmp/*.txt');
    policy.fs.allowWrite('/var/task/cache/**');
    policy.fs.allowWrite('/srv/log/*.log');
    policy.childProcess.allowSpawningPath('/var/task/bin/tool');
    policy.process.allowKill().allowSomethingNew();
    policy.mongo.allowConnect(MONGO);
    policy.mongo.allowReadDocument(MONGO, 'orders');
    policy.mongo.allowUpdateDocument(MONGO, 'orders');
    policy.mongo.allowConnect('mongodb+srv://cluster0.abc12.mongodb.net/shop');
    policy.mongo.allowConnect('mongodb+srv://cluster0.mongodb.net/shop');
    policy.mongo.allowConnect('mongodb://%2Ftmp%2Fmongodb-27017.sock,[::1]:27019/shop');
  })
  .setHandlerFile(`${__dirname}/handler`)
  .run();
