const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.outboundHttp.allowGet();
    policy.outboundHttp.allowGet('https://example.com/', 'https://example.org/');
    policy.outboundHttp.allowGet(new URL2);
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
