// The least of an AWS Lambda event that a request becomes: the same under every peer that has no events of its own.
exports.event = (method, path, headers) => ({
  httpMethod: method, path, headers, queryStringParameters: {}, body: null, isBase64Encoded: false, requestContext: {},
});
