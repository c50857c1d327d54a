const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.mongo.allowConnect('mongodb://db.example.org/shop');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
