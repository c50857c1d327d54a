const jwt = require('jsonwebtoken');

exports.handler = async () => {
  const token = jwt.sign({ sub: 'x', iat: 1 }, 'secret', { algorithm: 'HS256' });
  return [token, jwt.verify(token, 'secret'), await new Promise((done) => jwt.verify(token, 'other', (e) => done([e.name, e.message, e instanceof jwt.JsonWebTokenError])))];
};
