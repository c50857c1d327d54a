const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.outboundHttp.allowGet('https//example.com/');
    policy.outboundHttp.allowGet('example.com/');
    policy.outboundHttp.allowGet('https://example.com/a/../b');
    policy.outboundHttp.allowGet('https://*/v1');
    policy.outboundHttp.allowGet('https://exam**.example.com/');
    policy.outboundHttp.allowGet('https://example.com/[ab');
    policy.outboundHttp.allowGet('https://example.com/[^a]');
    policy.outboundHttp.allowGet('https://10.0.0.?/');
    policy.outboundHttp.allowPost('ws://example.com/');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
