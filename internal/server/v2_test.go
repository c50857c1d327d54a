package server

// Functions v2 from their source to an answer: their config, their routes, and bodies that flow.

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestFunctionsV2(t *testing.T) {
	s := serveStill(t, map[string]string{
		"netlify.toml":    netlify,
		"public/old.html": "file",
		"functions/item.mts": `import type { Config, Context } from '@netlify/functions';
const base = '/api';
export default async (request: Request, context: Context) => Response.json({ url: request.url, params: context.params, path: context.path,
	account: context.account.id, deploy: context.deploy.context, site: context.site.id, geo: context.geo, ip: context.ip });
export const config: Config = { path: [` + "`${base}/items/:id`" + `, '/old'], method: 'GET', preferStatic: true };
`,
		"functions/echo.mjs": `export default async (request) => new Response(request.body);
export const config = { path: '/echo/*', excludedPath: '/echo/not' };
`,
		"functions/computed.mjs": `export default () => new Response('x'); export const config = { path: process.env.WHERE };`,
		"functions/late.mjs":     `export default () => new Response('x'); export const config = { path: '/echo/*', excludedPath: '/echo/*' };`,
		"functions/data/index.mjs": `import { readFileSync } from 'node:fs';
export default () => new Response(readFileSync(new URL('../shared/data.txt', import.meta.url)));
export const config = { includedFiles: ['../shared/*.txt', '!../shared/other.txt'] };`,
		"functions/shared/data.txt": "shared data",
	})
	status, body := s.get(t, "/api/items/a%2Fb?q=1")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%d %s", status, body)
	}
	want := `{"account":"dev","deploy":"dev","geo":{},"ip":"127.0.0.1","params":{"id":"a%2Fb"},"path":"/api/items/:id","site":"dev","url":"http://` + s.Addr() + `/api/items/a%2Fb?q=1"}`
	if sorted, _ := json.Marshal(got); string(sorted) != want {
		t.Errorf("got  %s\nwant %s", sorted, want)
	}
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/old":                         {200, "file"},
		"/.netlify/functions/item":     {404, "no default URL"},
		"/echo/not":                    {404, ""},
		"/.netlify/functions/computed": {502, "functions/computed.mjs:1:71: config.path can't be read"},
		"/.netlify/functions/data":     {200, "shared data"},
	} {
		if status, body := s.get(t, path); status != want.status || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if told := s.log.String(); !strings.Contains(told, "late is not reached by") {
		t.Errorf("nobody tells that two functions have one path: %s", told)
	}
}

// TestNobodyWaits: background functions are carried out when their callers are gone, and scheduled ones are tried out.
func TestNobodyWaits(t *testing.T) {
	s := serveStill(t, map[string]string{"netlify.toml": netlify + "[functions.late]\nbackground = true\n",
		"functions/old-background.js": `exports.handler = async (e, context) => { console.log('old', e.body, context.getRemainingTimeInMillis() > 14 * 60 * 1000); };`,
		"functions/new.mjs":           `export default async (request) => { console.log('new', await request.text()); throw new Error('nobody hears'); }; export const config = { background: true };`,
		"functions/late.mjs":          `export default () => console.log('late');`,
		"functions/daily.js": `const { schedule } = require('@netlify/functions');
exports.handler = schedule('@daily', async (e, context) => { console.log('daily', e.httpMethod, e.headers['X-NF-Event'], JSON.parse(e.body).next_run, context.getRemainingTimeInMillis() < 31_000); });`,
		"functions/often.mjs": `export default async (request) => { const { next_run } = await request.json(); console.log('often', request.headers.get('x-nf-event'), next_run); };
export const config = { schedule: '*/5 * * * *' };`,
		"node_modules/@netlify/functions/index.js":     `exports.schedule = (when, handler) => handler;`,
		"node_modules/@netlify/functions/package.json": `{"name": "@netlify/functions"}`,
	})
	for _, name := range []string{"old-background", "new", "late"} {
		res, err := http.Post("http://"+s.Addr()+"/.netlify/functions/"+name, "text/plain", strings.NewReader("for "+name))
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); res.StatusCode != 202 || len(body) != 0 {
			t.Errorf("%s: %d %q", name, res.StatusCode, body)
		}
	}
	for _, name := range []string{"daily", "often"} {
		if status, body := s.get(t, "/.netlify/functions/"+name); status != 200 || !strings.Contains(body, name+" is a scheduled function") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	printed := func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		var all strings.Builder
		for _, l := range s.lines {
			all.WriteString(l.Text + "\n")
		}
		return all.String()
	}
	for _, want := range []string{"old for old-background true", "new for new", "late", "daily POST schedule 20", "00.000Z true", "often schedule 20"} {
		waitFor(t, func() bool { return strings.Contains(printed(), want) })
	}
	waitFor(t, func() bool { return strings.Contains(s.log.String(), "nobody hears") })
}

// TestBodiesFlow: a function answers what it is sent while the client still sends.
func TestBodiesFlow(t *testing.T) {
	s := serveStill(t, map[string]string{"netlify.toml": netlify,
		"functions/echo.mjs": "export default async (request) => new Response(request.body);\nexport const config = { path: '/echo' };"})
	r, w := io.Pipe()
	answered := make(chan *http.Response, 1)
	go func() {
		res, err := http.Post("http://"+s.Addr()+"/echo", "text/plain", r)
		if err != nil {
			t.Error(err)
		}
		answered <- res
	}()
	line := strings.Repeat("x", 100_000) + "\n"
	if _, err := io.WriteString(w, line); err != nil {
		t.Fatal(err)
	}
	res := <-answered
	defer res.Body.Close()
	lines := bufio.NewReaderSize(res.Body, len(line))
	for range 3 {
		if got, err := lines.ReadString('\n'); err != nil || got != line {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != line {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
}
