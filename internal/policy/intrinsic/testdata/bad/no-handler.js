const IntrinsicLambda = require('@intrinsic/lambda');
module.exports = new IntrinsicLambda().run();
