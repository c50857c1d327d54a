package runtime

// Functions made with Netlify's own package and by Netlify's own build, the real ones from npm.

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// netlifySite gives a folder with the functions as they are written and, in build, as Netlify builds them.
// The packages stay for the next time.
func netlifySite(t *testing.T) string {
	t.Helper()
	const source = "testdata/netlify"
	dir := filepath.Join(os.TempDir(), "weir-test-netlify")
	lock, err := os.ReadFile(source + "/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	have, _ := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	_, missing := os.Stat(filepath.Join(dir, "node_modules/.package-lock.json")) // npm writes it last
	if missing != nil || !bytes.Equal(lock, have) {
		os.RemoveAll(dir)
		if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
			t.Fatal(err)
		}
		if out, err := in(dir, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--loglevel=error"); err != nil {
			t.Skipf("needs packages from npm, which can't be had: %v\n%s", err, out)
		}
	}
	run, err := os.MkdirTemp(dir, "run-") // several runs may use the packages
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	if err := os.CopyFS(run, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	if out, err := in(run, "node", "build.mjs"); err != nil {
		t.Fatalf("Netlify's build: %v\n%s", err, out)
	}
	return run
}

func in(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

func TestFunctionsOfNetlify(t *testing.T) {
	site := netlifySite(t)
	geo := base64.StdEncoding.EncodeToString([]byte(`{"city":"Bern"}`))
	event := map[string]any{"rawUrl": "http://site.test/modern/7?q=1", "path": "/modern/7", "httpMethod": "GET",
		"headers": map[string]string{"x-nf-request-id": "req-1", "x-nf-geo": geo}, "body": nil, "isBase64Encoded": false}
	post := func(body string) map[string]any {
		e := map[string]any{}
		for k, v := range event {
			e[k] = v
		}
		e["httpMethod"], e["body"], e["isBase64Encoded"] = "POST", base64.StdEncoding.EncodeToString([]byte(body)), true
		return e
	}
	hourly := post("")
	hourly["body"], hourly["isBase64Encoded"] = `{"next_run":"soon"}`, false
	modern := `{"path":"/modern/7","id":"req-1","same":true,"geo":"Bern","body":"tëxt"}`
	for name, c := range map[string]struct {
		form   weir.Form
		event  map[string]any
		status int
		body   string
		header string
		cookie string
	}{
		"plain":     {weir.FormV1, event, 200, "v1 /modern/7", "", ""},
		"legacy":    {weir.FormV1, event, 200, "callback GET", "", ""},
		"scheduled": {weir.FormV1, hourly, 200, "scheduled soon", "", ""},
		"built":     {weir.FormV1, event, 200, "built /modern/7", "", ""},
		"streamed":  {weir.FormStream, event, 201, strings.Repeat("x", 200_000), "stream", ""},
		"modern":    {weir.FormV2, post("tëxt"), 202, modern, "v2", "a=1|b=2"},
		"object":    {weir.FormV2, event, 200, "object GET", "", ""},
		"large":     {weir.FormV2, event, 200, strings.Repeat("y", 300_000), "", "a=1|b=2"},
		"nothing":   {weir.FormV2, event, 204, "", "", ""},
		"failing":   {weir.FormV2, event, 0, "RangeError: on purpose", "", ""},
	} {
		source, entry := "functions/"+name+".mjs", name+".js"
		if name == "legacy" {
			source = "functions/legacy.js"
		}
		if c.form == weir.FormV2 {
			entry = "___netlify-entry-point.mjs"
		}
		for how, at := range map[string][2]string{"as written": {site, source}, "as built": {filepath.Join(site, "build", name), entry}} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				p, err := startIn(t, at[0], at[1])
				if err != nil {
					t.Fatal(err)
				}
				payload, err := json.Marshal(c.event)
				if err != nil {
					t.Fatal(err)
				}
				inv := weir.Invocation{ID: "req-1", Function: "fn", Event: payload}
				if c.status == 0 {
					if res, _, err := p.Invoke(inv, time.Now().Add(10*time.Second), func() {}); err != nil || res.Error == nil || res.Error.Error() != c.body {
						t.Errorf("got %+v %v", res.Error, err)
					}
					return
				}
				a, _ := p.run(t, inv)
				cookies := strings.Join(a.MultiValueHeaders["set-cookie"], "|")
				header := a.Headers["x-form"] + strings.Join(a.MultiValueHeaders["x-form"], "")
				if p.form != c.form || a.StatusCode != c.status || a.Body != c.body || header != c.header || cookies != c.cookie {
					t.Errorf("form %q: %d %q %q %q", p.form, a.StatusCode, header, cookies, weir.Cut(a.Body, 200))
				}
				if !p.Clean() {
					t.Error("the process is not clean")
				}
			})
		}
	}
}
