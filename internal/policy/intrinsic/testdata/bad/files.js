const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.fs.allowRead('data/*.json');
    policy.fs.allowRead('/srv/../etc/*');
    policy.fs.allowRead('/srv/[^a]');
    policy.fs.allowRead('/srv/{a,b}/*');
    policy.fs.allowRead('/srv//x');
    policy.fs.allowRead();
    policy.fs.allowWrite('*');
    policy.outboundNet.allowTcp('*.internal', 5432);
    policy.outboundNet.allowUdp('stats.internal');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
