// The verdict on a legitimate function: what its answer must be, as the corpus's cases say it.
import crypto from 'node:crypto';

const lower = (h) => Object.fromEntries(Object.entries(h || {}).map(([k, v]) => [k.toLowerCase(), v]));

function differences(want, got, at) {
  if (want === null || typeof want !== 'object') return want === got ? [] : [`body${at} = ${JSON.stringify(got)}, not ${JSON.stringify(want)}`];
  return Object.keys(want).flatMap((k) => differences(want[k], got?.[k], `${at}.${k}`));
}

export function checkLegit(e, r) {
  if (!r || r.timeout) return ['no answer'];
  if (e.error) return r.ok ? ['an error was expected'] : new RegExp(e.error).test(r.error.message) ? [] : [`the error was ${r.error.message}`];
  if (!r.ok) return [`error: ${JSON.stringify(r.error)}`];
  const x = r.response;
  if (e.anyResponse) return [];
  if (!x) return e.status ? ['empty response'] : [];
  const body = Buffer.from(String(x.body ?? ''), x.isBase64Encoded ? 'base64' : 'utf8');
  const text = body.toString('utf8');
  const headers = lower(x.headers), multi = lower(x.multiValueHeaders);
  const bad = [];
  if (e.status && x.statusCode !== e.status) bad.push(`status ${x.statusCode}, not ${e.status}: ${text.slice(0, 200)}`);
  for (const s of e.bodyIncludes || []) if (!text.includes(s)) bad.push(`body lacks ${s}: ${text.slice(0, 300)}`);
  for (const [k, v] of Object.entries(e.headers || {})) if (!String(headers[k] ?? '').includes(v) && !(multi[k] || []).join().includes(v)) bad.push(`header ${k} = ${headers[k]}`);
  for (const [k, v] of Object.entries(e.multiValueHeaders || {})) if (JSON.stringify(multi[k]) !== JSON.stringify(v) && JSON.stringify(x.cookies) !== JSON.stringify(v)) bad.push(`headers ${k} = ${JSON.stringify(multi[k])}`);
  if (e.bodyBytes !== undefined && body.length !== e.bodyBytes) bad.push(`${body.length} bytes of body`);
  if (e.bodySha256 && crypto.createHash('sha256').update(body).digest('hex') !== e.bodySha256) bad.push('another body');
  if (e.bodyBase64Prefix && !body.toString('base64').startsWith(e.bodyBase64Prefix)) bad.push(`body begins ${body.toString('base64').slice(0, 20)}`);
  if (e.bodyJson) {
    try { bad.push(...differences(e.bodyJson, JSON.parse(text), '')); } catch { bad.push(`not JSON: ${text.slice(0, 200)}`); }
  }
  return bad;
}
