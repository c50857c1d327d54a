const IntrinsicLambda = require('@intrinsic/lambda');
module.exports = new IntrinsicLambda()
  .configurePolicies(async policy => {
    await null;
    policy.outboundHttp.allowGet('https://example.com/');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .setHandlerName('not a name')
  .run();
