const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    throw new Error('on purpose\u2028second line');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
