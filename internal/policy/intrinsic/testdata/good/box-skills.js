// A Box skill: it writes its findings to the file's metadata and tells Box how the invocation went.
const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .enableMonitorMode() // without this line, violations are blocked
  .configurePolicies((policy) => {
    policy.fs.allowRead('/var/task/node_modules/**/*');

    policy.outboundHttp.allowPost('https://api.box.com/2.0/files/*/metadata/global/boxSkillsCards');
    policy.outboundHttp.allowPut('https://api.box.com/2.0/files/*/metadata/global/boxSkillsCards');
    policy.outboundHttp.allowPut('https://api.box.com/2.0/skill_invocations/**');
    policy.outboundHttp.allowGet('https://pbs.twimg.com/profile_images/885529357904510976/tM0vLiYS_400x400.jpg');
  })
  .setHandlerFile(`${__dirname}/index.js`)
  .setHandlerName('handler')
  .run();
