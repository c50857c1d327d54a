const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.outboundHttp.allowPost('https://api.stripe.com/v1/charges');
  })
  .setHandlerName('handler')
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
