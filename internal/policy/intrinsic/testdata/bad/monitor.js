const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .enableMonitorMode()
  .virtualizeLib('mongodb')
  .configurePolicies(policy => {
    policy.fs.allowRead('/var/task/node_modules/**/*');
    policy.outboundHttp.allowPost('https://api.box.com/2.0/files/*/metadata/global/boxSkillsCards');
    policy.outboundHttp.allowPut('https://api.box.com/2.0/skill_invocations/**');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
