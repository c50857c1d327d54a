const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.mongo.allowConnect(process.env.MONGO_URL);
    policy.mongo.allowConnect('postgres://user:password@db.example.org/shop');
    policy.mongo.allowConnect('mongodb://*.example.org/shop');
    policy.mongo.connect('mongodb://db.example.org/shop');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
