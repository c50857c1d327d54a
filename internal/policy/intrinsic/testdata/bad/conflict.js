const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.outboundHttp.allowGet('https://api-*.example.com/');
    policy.outboundNet.allowTcp('api-1.example.com', 443);
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
