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
		"functions/computed.mjs":   `export default () => new Response('x'); export const config = { path: process.env.WHERE };`,
		"functions/background.mjs": `export default () => new Response('x'); export const config = { background: true };`,
		"functions/late.mjs":       `export default () => new Response('x'); export const config = { path: '/echo/*', excludedPath: '/echo/*' };`,
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
		"/old":                           {200, "file"},
		"/.netlify/functions/item":       {404, "no default URL"},
		"/echo/not":                      {404, ""},
		"/.netlify/functions/computed":   {502, "functions/computed.mjs:1:71: config.path can't be read"},
		"/.netlify/functions/background": {502, "background functions aren't supported"},
		"/.netlify/functions/data":       {200, "shared data"},
	} {
		if status, body := s.get(t, path); status != want.status || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if told := s.log.String(); !strings.Contains(told, "late is not reached by") {
		t.Errorf("nobody tells that two functions have one path: %s", told)
	}
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
