const { HttpServer } = require('@intrinsic/lambda');

module.exports = new HttpServer(__filename);
