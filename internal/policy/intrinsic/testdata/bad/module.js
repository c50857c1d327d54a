import IntrinsicLambda from '@intrinsic/lambda';
export default new IntrinsicLambda().run();
