const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.outboundNet.allowUdp('stats.internal', 8125);
    policy.mongo.allowConnect('mongodb://db/test');
    try { policy.outboundHttp.allowConnect('https://example.com/'); } catch (e) {}
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
