// What can be read two ways is refused: path tricks on the allowed host, sent as raw bytes.
const { raw, MARK } = require('../lib/try.js');
const targets = ['/v1/charges/../refunds', '/v1/charges/%2e%2e/refunds', '/v1/charges/.%2E/refunds', '/v1/./charges', '//v1/charges', '/v1//charges', '/v1%2fcharges', '/v1%2Fcharges', '/v1\\charges', '/v1%5ccharges', '/v1/charge%73', '/v1/charges%00', '/v1/charges%00/x', '/v1/charges#x', '/v1/charges/', '/V1/charges', '/v1/charges;x=/../../refunds', '/v1/charges;/../refunds', '/v1/charges..;/refunds', '/v1/charges%', '/v1/charges%zz', '/v1/charges%c0%ae%c0%ae/refunds', '/v1/charges%u002e', '/v1/charges%252e%252e/refunds', '/v1/charges\t', '/v1/charges\x01', '/v1/charges\xe9', '*', 'v1/charges', '/refunds?/v1/charges', '/v1/refunds', '/'];
const methods = ['GET', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'post', 'POSTX', 'PO\tST', 'QUERY', 'PROPFIND'];

async function status(line) {
  const text = await raw({}, `${line} HTTP/1.1\r\nHost: api.allowed.test\r\nX-Mark: ${MARK}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`, 1500);
  const s = Number(/^HTTP\/1\.[01] (\d+)/.exec(text)?.[1]);
  return s === 200 ? 'OPEN: ' + text.slice(0, 60) : 'blocked: ' + (s || 'closed');
}

exports.handler = async () => {
  const out = {};
  await Promise.all([...targets.map((t) => 'POST ' + t), ...methods.map((m) => m + ' /v1/charges')].map(async (l) => {
    try { out[l] = await status(l); } catch (e) { out[l] = 'blocked: ' + e.code; }
  }));
  return { statusCode: 200, body: JSON.stringify(out) };
};
