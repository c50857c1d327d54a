const { MongoClient, ObjectId, BSON } = require('mongodb');

exports.handler = async () => {
  const client = new MongoClient('mongodb://127.0.0.1:1/x', { serverSelectionTimeoutMS: 1 });
  const said = await client.connect().catch((e) => e.name);
  await client.close();
  return [said, new ObjectId('507f1f77bcf86cd799439011').toHexString(), BSON.serialize({ a: 1n, b: new Date(0) }).toString('hex')];
};
