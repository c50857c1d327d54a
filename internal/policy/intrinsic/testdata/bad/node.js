// Intrinsic for Node.js, in a file that loads @intrinsic/lambda, too.
const IntrinsicLambda = require('@intrinsic/lambda');
const intrinsic = require('@intrinsic/server');
