// Asks Netlify's own packages what they make of rules, and prints it as JSON:
//   node redirector.mjs FOLDER_OF_NODE_MODULES > redirector.json
// where netlify-cli 27 is installed (with netlify-redirector 0.5.0 and @netlify/redirect-parser).
import { createRequire } from 'node:module';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const modules = resolve(process.argv[2]);
const redirector = createRequire(join(modules, '/'))('netlify-redirector');
const { parseAllRedirects } = await import(pathToFileURL(join(modules, '@netlify/redirect-parser/lib/index.js')));
const dir = mkdtempSync(join(tmpdir(), 'rules-'));

const groups = [
  {
    name: 'paths',
    rules: `
/old /new
/old2/ /new2
/a/* /b/:splat 302
/news/:year/:month/:date/:slug /blog/:date/:month/:year/:slug
/p-:id /x/:id
/pre* /pp/:splat
/m/*/end /mid2/:splat
/Case /lower
/dot.x /dotted
/plus+x /plus
/paren(x) /paren
/f /g 200!
/nf /404.html 404
/ext/* https://api.example.com/:splat 200
/gone /x 410
/hash /y#frag
/withq /y?a=b
/api/* 200
/:first/second /seg/:first
/utf8ü /u
/sp /t/ä
/k*l /kl/:splat
/*/tail /tt/:splat
/two/:a/:a /t/:a
/num/:1x /n/:1x
/dash/:a-b /d/:a-b
/multi/:a /t/:a:a/x:a
/empty/:x/y /e/:x
/pl/:a /pre-:a
/only/* /only
/fix/:a/lit/:b/* /z/:a/:b/:splat
/low/:a_b /c/:a_b
/deep/* /deep/new/:splat
/loop/* /loop/b
/i/* /index.html 200
noslash /y
/slash/*/ /kk/:splat
/stem*/x /p/:splat
/st2 /x 302 # a comment
/cap/:Cap /c/:Cap
`,
    urls: ['/old', '/old/', '/old?x=1', '/old2', '/old2/', '/a', '/a/', '/a/x/y', '/a/x/y/', '/a//x', '/abc', '/A/x', '/a/%20b', '/a/ü',
      '/a/x?y=z', '/a/x%2fy', '/news/2020/01/02/my-story', '/news/2020/01/02/my-story/x', '/news/2020/01/02/my-story/', '/p-5', '/pre',
      '/prefix', '/prefix/x', '/pre/x', '/m/a/end', '/m/a/b/end', '/m//end', '/m/end', '/case', '/Case', '/dotax', '/dot.x', '/plus+x',
      '/plusx', '/paren(x)', '/parenx', '/f', '/nf', '/ext/x?y=1', '/ext', '/gone', '/hash', '/withq', '/withq?c=d', '/api/x', '/a1/second',
      '/utf8ü', '/sp', '/none', '//old', '/a/..%2f..', '/a/x%0d%0ay', '/kl', '/kxl', '/q/tail', '/tail', '/q/r/tail/', '/two/1/2', '/num/5',
      '/dash/5-b', '/multi/5', '/empty//y', '/pl/q', '/only/5', '/fix/1/lit/2/3/4', '/fix/1/lit/2', '/low/1', '/deep/1', '/deep/new/1',
      '/loop/b', '/loop/c', '/i/1/2', '/noslash', '/slash/1', '/slash', '/stem/x', '/stema/x', '/st2', '/cap/1', '/'],
  },
  {
    name: 'queries',
    rules: `
/store tag=:tag id=:id /blog/:tag/:id
/store id=:id /blog/:id
/store /plain
/lit k=v /lit2
/lit /lit3
/qq a=:a b=:b /o/:a/:b
/enc q=:q /r?q=:q
/s2/* /q?x=:splat
/self a=1 /other
`,
    urls: ['/store?id=5', '/store?id=', '/store?id', '/store?id=5&tag=x', '/store?tag=x&id=5&z=1', '/store?z=1', '/store', '/store?id=5&id=6',
      '/store?id=a%20b', '/lit?k=v', '/lit?k=w', '/lit?k=v&k=w', '/lit?k=V', '/lit?z=1&k=v', '/qq?a=1&b=2', '/qq?b=2&a=1&c=3', '/qq?a=1',
      '/enc?q=a%26b', '/enc?q=a+b', '/enc?q=%C3%A4', '/enc?q=a/b', '/enc?q=a%2Fb:x', '/s2/a/b', '/s2/a&b', '/s2/a%3Fb', '/self?a=1', '/self?a=2'],
  },
  {
    name: 'conditions',
    rules: `
/c /c1 302 Country=US,ca
/c /c2 302 Country=de Language=de,fr
/c /c3 302 Language=en
/ck /k1 302 Cookie=abtest
/ck /k2 302 Cookie=other,third
/ck /k3
/l /l2 302 Language=EN
/l /l3 302 Language=pt
/sp   /y   302!   Country=us
/r /r1 200 Role=admin
/s/* 200! Role=admin
/s/* /login 302
/u/* 200 Role=admin Country=de
`,
    urls: [['/c', 'nf_country=US'], ['/c', 'nf_country=CA'], ['/c', 'nf_country=DE; nf_lang=fr'], ['/c', 'nf_country=DE; nf_lang=en'],
      ['/c', 'nf_country=DE; nf_lang=it'], ['/ck', 'abtest=1'], ['/ck', 'abtest='], ['/ck', 'third=1'], '/ck', ['/l', 'nf_lang=en'],
      ['/l', 'nf_lang=pt'], ['/l', 'nf_lang=xx'], ['/sp', 'nf_country=us'], '/r', '/s/x', '/u/x', ['/u/x', 'nf_country=de']],
  },
  {
    name: 'hosts',
    rules: `
http://old.test/* https://new.test/:splat 301!
https://s.test/x /y
https://www.s.test /z 302
http://any.test/z https://any.test/z
/z /zz
`,
    urls: ['http://old.test/a/b', 'https://old.test/a', 'http://OLD.test/a', 'https://s.test/x', 'http://s.test/x', 'https://www.s.test/',
      'http://any.test/z', 'https://any.test/z'],
  },
];

const out = [];
for (const { name, rules, urls } of groups) {
  const file = join(dir, '_redirects');
  writeFileSync(file, rules);
  const { redirects } = await parseAllRedirects({ redirectsFiles: [file], minimal: false });
  const list = redirects.map(({ conditions, from, query, ...rest }) => ({ ...rest, origin: from, params: query, conditions }));
  const matcher = await redirector.parseJSON(JSON.stringify(list), { jwtSecret: 'secret', jwtRoleClaim: 'app_metadata.authorization.roles' });
  const cases = urls.map((item) => {
    const [url, cookie = ''] = [item].flat();
    const u = new URL('http://site.test');
    u.href = new URL(url.startsWith('//') ? `http://site.test${url}` : url, 'http://site.test').href;
    const cookies = Object.fromEntries(cookie.split('; ').filter(Boolean).map((c) => c.split('=')));
    const headers = { 'x-language': cookies.nf_lang || '', 'x-country': cookies.nf_country || '' };
    const match = matcher.match({
      scheme: u.protocol.slice(0, -1), host: u.hostname, path: decodeURIComponent(u.pathname), query: u.search.slice(1), headers,
      cookieValues: cookies, getHeader: (h) => headers[h.toLowerCase()] || '', getCookie: (c) => cookies[c] || '',
    });
    const got = { url: u.href, cookie };
    if (match?.force404) {
      Object.assign(got, { status: 404, force: true });
    } else if (match) { // a negative one is for who lacks a role: no file comes before it
      const dest = new URL(match.to, u);
      if (dest.search === '') dest.search = u.search;
      Object.assign(got, { to: /^https?:/.test(match.to) ? dest.href : dest.pathname + dest.search + dest.hash, status: match.status, force: match.force || match.negative });
    }
    return got;
  });
  out.push({ name, rules, cases });
}
console.log(JSON.stringify(out, null, 1));
process.exit(0);
