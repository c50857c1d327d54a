const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.outboundHttp.allowGett('https://example.com/');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
