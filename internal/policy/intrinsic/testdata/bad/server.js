const IntrinsicLambda = require('@intrinsic/lambda');

new IntrinsicLambda()
  .addSandbox('get', '/example', policy => { policy.outboundHttp.allowGet('https://example.com/'); })
  .fallback(policy => {});
IntrinsicLambda.HttpServer();
module.exports = new IntrinsicLambda.HttpServer(__filename).allSandboxes(() => {});
