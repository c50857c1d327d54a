// One request is decided, one is sent: a second one hidden behind it must not come out. The test
// looks at what reached the allowed host; here every attempt only has to end.
const { raw, answer, together, MARK } = require('../lib/try.js');
const head = 'POST /v1/charges HTTP/1.1\r\nHost: api.allowed.test\r\n';
const hidden = `GET /v1/customers?${MARK} HTTP/1.1\r\nHost: api.allowed.test\r\n\r\n`;
const send = (text) => async () => { await raw({}, text); return 'blocked: see what the host received'; };

exports.handler = answer({
  pipelined: send(head + 'Content-Length: 3\r\n\r\na=1' + hidden),
  clte: send(head + `Content-Length: ${5 + hidden.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n` + hidden),
  tecl: send(head + 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n' + hidden.length.toString(16) + '\r\n' + hidden + '\r\n0\r\n\r\n'),
  tete: send(head + 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n' + hidden),
  teObfuscated: send(head + 'Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n' + hidden),
  teTab: send(head + 'Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n' + hidden),
  teSpaceColon: send(head + 'Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n' + hidden),
  twoLengths: send(head + 'Content-Length: 0\r\nContent-Length: ' + hidden.length + '\r\n\r\n' + hidden),
  lengthList: send(head + 'Content-Length: 0, ' + hidden.length + '\r\n\r\n' + hidden),
  lengthPlus: send(head + 'Content-Length: +0\r\n\r\n' + hidden),
  lengthHex: send(head + 'Content-Length: 0x0\r\n\r\n' + hidden),
  chunkExtension: send(head + 'Transfer-Encoding: chunked\r\n\r\n0;a=\r\nb\r\n\r\n' + hidden),
  chunkSpace: send(head + 'Transfer-Encoding: chunked\r\n\r\n0 \r\n\r\n' + hidden),
  chunkOverflow: send(head + 'Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n' + hidden),
  foldedHeader: send(head + 'X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n' + hidden),
  bareLF: send(head.replaceAll('\r\n', '\n') + 'Content-Length: 0\n\n' + hidden),
  bareCR: send(head + 'X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n' + hidden),
  nulHeader: send(head + 'X-A\0: b\r\nContent-Length: 0\r\n\r\n' + hidden),
  upgrade: send(head + 'Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 0\r\n\r\n' + hidden),
  websocketThenHTTP: send(head.replace('POST', 'GET') + 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' + hidden),
  http09: send('POST /v1/charges\r\n' + hidden),
  http10: send('POST /v1/charges HTTP/1.0\r\nHost: api.allowed.test\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n' + hidden),
  preface: send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  overrides: send(head + `X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\nX-Original-URL: /v1/refunds\r\nX-Rewrite-URL: /v1/refunds\r\nX_HTTP_Method_Override: DELETE\r\nX-Forwarded-Host: drop.evil.test\r\nContent-Length: 3\r\n\r\na=1`),
  nominated: send(head + 'Connection: close, Content-Length, X-HTTP-Method-Override\r\nX-HTTP-Method-Override: DELETE\r\nContent-Length: 3\r\n\r\na=1'),
}, together);
