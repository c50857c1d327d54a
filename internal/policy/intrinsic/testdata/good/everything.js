'use strict';
const path = require('path');
const IntrinsicLambda = require('@intrinsic/lambda');

const allowed = ['https://api.box.com/2.0/files/*/metadata/global/boxSkillsCards'];

module.exports = new IntrinsicLambda()
  .configurePolicies((policy) => {
    for (const url of allowed) policy.outboundHttp.allowPost(url);
    policy.outboundHttp
      .allowPut('https://api.box.com/2.0/skill_invocations/**')
      .allowGet('*://*.example.com/v[12]/item-?')
      .allowHead('http://api-*.example.com:8080')
      .allowGet('wss://live.example.com/feed');
    policy.outboundNet.allowTcp('db.internal', 5432).allowTcp('::1', 6379);
    policy.fs.disableDefaults();
    policy.fs.allowRead('/var/task/node_modules/**/*');
    policy.fs.allowRead(path.join(__dirname, 'templates', '*.html'));
    policy.fs.allowRead('/etc/ssl/openssl.cnf').allowWrite('/tmp/**');
    policy.childProcess.allowSpawningPath('/usr/bin/cal');
    policy.process.allowMemoryUsage().allowCpuUsage();
    if (process.env.NODE_ENV === 'development') policy.outboundHttp.allowGet('http://localhost/**');
  })
  .setHandlerFile(path.join(__dirname, 'handler'))
  .run();
