const { S3Client, GetObjectCommand, ListBucketsCommand } = require('@aws-sdk/client-s3');

exports.handler = async () => {
  const client = new S3Client({ region: 'eu-west-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' }, maxAttempts: 1,
    requestHandler: { handle: async (r) => { throw Object.assign(new Error(`${r.method} ${r.hostname}${r.path}`), { name: 'Sent' }); } } });
  const said = [];
  for (const command of [new GetObjectCommand({ Bucket: 'b', Key: 'k' }), new ListBucketsCommand({})]) await client.send(command).catch((e) => said.push(e.message));
  return said;
};
