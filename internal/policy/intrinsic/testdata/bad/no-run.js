const IntrinsicLambda = require('@intrinsic/lambda');
module.exports = new IntrinsicLambda().setHandlerFile(`${__dirname}/handler.js`);
