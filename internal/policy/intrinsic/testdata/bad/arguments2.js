const IntrinsicLambda = require('@intrinsic/lambda');

module.exports = new IntrinsicLambda()
  .configurePolicies(policy => {
    policy.outboundHttp.allowGet(42);
    policy.outboundNet.allowTcp('/var/run/docker.sock');
    policy.outboundNet.allowTcp('db.internal', null);
    policy.outboundNet.allowTcp('db.internal', 70000);
    policy.outboundNet.allowTcp('https://db.internal', 443);
    policy.childProcess.allowSpawningPath('uname');
    policy.childProcess.allowSpawningPath('/usr/bin/*');
  })
  .setHandlerFile(`${__dirname}/handler.js`)
  .run();
