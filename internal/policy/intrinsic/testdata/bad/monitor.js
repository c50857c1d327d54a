const IntrinsicLambda = require('@intrinsic/lambda');

const lambda = new IntrinsicLambda().enableMonitorMode(false).setHandlerFile(`${__dirname}/handler.js`);
lambda.run();
lambda.enableMonitorMode();
