package server

// Deploys that can't be loaded, and many that are asked for at once.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// TestPoisonedDeploy: a deploy whose content is lost fails by itself, is told as what it is, and is served once it can
// be; a new deploy of its site is served at once.
func TestPoisonedDeploy(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	good, bad := p.site("good"), p.site("bad")
	page := func(text string) content { return content{files: map[string]string{"index.html": text}} }
	p.deploy(good, owner, page("good"), deploys.BeginOptions{})
	lost := p.deploy(bad, owner, page("lost"), deploys.BeginOptions{})
	blob, err := p.store.Blobs().Stat(t.Context(), lost.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.store.Blobs().Delete(t.Context(), blob); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if status, body := p.get("bad.localhost", "/"); status != 500 || !strings.Contains(body, "a part of this deploy is lost") {
				t.Errorf("a deploy without a manifest: %d %s", status, body)
			}
		})
		all.Go(func() {
			if status, body := p.get("good.localhost", "/"); status != 200 || body != "good" {
				t.Errorf("a site beside one that can't be loaded: %d %s", status, body)
			}
		})
	}
	all.Wait()
	d := p.deploy(bad, owner, page("mended"), deploys.BeginOptions{})
	p.shows("bad.localhost", d)
	if status, body := p.get("bad.localhost", "/"); status != 200 || body != "mended" {
		t.Errorf("after a new deploy: %d %s", status, body)
	}
}

// TestBrokenFunctionsAreNotReadAgain: what is wrong with one may have taken long to find; it is told from what was found.
func TestBrokenFunctionsAreNotReadAgain(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	c := content{files: map[string]string{"index.html": "page"}, functions: map[string]string{
		"good":   "exports.handler = async () => ({ statusCode: 200, body: 'good' });\n",
		"broken": "require('@intrinsic/lambda'); for (;;) {}\n"}}
	d := p.deploy(p.site("shop"), owner, c, deploys.BeginOptions{})
	m, err := p.deploys.Manifest(t.Context(), d.ID)
	if err != nil || !strings.Contains(m.Functions["broken"].Fault, "longer than a second") {
		t.Fatalf("%+v %v", m.Functions["broken"], err)
	}
	blob, err := p.store.Blobs().Stat(t.Context(), m.Functions["broken"].SHA256)
	if err == nil {
		err = p.store.Blobs().Delete(t.Context(), blob)
	}
	if err != nil {
		t.Fatal(err)
	}
	if status, body := p.get("shop.localhost", "/.netlify/functions/good"); status != 200 || body != "good" {
		t.Errorf("a function beside a broken one: %d %s", status, body)
	}
	if status, body := p.get("shop.localhost", "/.netlify/functions/broken"); status != 500 && status != 502 || strings.Contains(body, "lost") {
		t.Errorf("the broken one: %d %s", status, body)
	}
}

// TestManySitesAtOnce: all sites of a server are asked for in the same moment, after a start.
func TestManySitesAtOnce(t *testing.T) {
	t.Parallel()
	n := 15
	if os.Getenv("WEIR_SOAK") != "" {
		n = 1000
	}
	p := newPlatform(t)
	sites := make([]weir.Site, n)
	var all sync.WaitGroup
	for i := range sites {
		sites[i] = p.site(fmt.Sprintf("s%d", i))
		p.deploy(sites[i], owner, content{files: map[string]string{"index.html": fmt.Sprint("page ", i)}, functions: map[string]string{"f": handler(fmt.Sprint(i))}}, deploys.BeginOptions{})
	}
	for i, site := range sites {
		for range 3 {
			all.Go(func() {
				if status, body := p.get(site.Name+".localhost", "/"); status != 200 || body != fmt.Sprint("page ", i) {
					t.Errorf("%s: %d %s", site.Name, status, body)
				}
			})
		}
	}
	all.Wait()
}

// TestPoliciesBeyondMeasure: a few bytes that give every function very many rules are refused as soon as that is seen.
func TestPoliciesBeyondMeasure(t *testing.T) {
	t.Parallel()
	blobs := map[string][]byte{}
	keep := func(b []byte) string {
		sum := sha256.Sum256(b)
		blobs[hex.EncodeToString(sum[:])] = b
		return hex.EncodeToString(sum[:])
	}
	var rules strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&rules, "\t\"GET https://h%d.example.com/\",\n", i)
	}
	in := deploys.StageInput{Manifest: weir.Manifest{Files: map[string]weir.DeployFile{}, Functions: map[string]weir.DeployFunction{}},
		Open: func(_ context.Context, sum string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(blobs[sum])), nil
		}}
	in.Manifest.Files[policyFile] = weir.DeployFile{SHA256: keep([]byte("[functions.\"*\"]\nhttp = [\n" + rules.String() + "]\n"))}
	for i := range maxRules/1200 + 1 {
		name := fmt.Sprint("f", i)
		in.Manifest.Functions[name] = weir.DeployFunction{SHA256: keep(zipped(t, name, "exports.handler = async () => ({ statusCode: 200 });\n"))}
	}
	s := stage{stateDir: t.TempDir(), keys: (&Server{}).signingKeys}
	if _, err := s.Stage(t.Context(), in); weir.ErrorCode(err) != weir.TooLarge || !strings.Contains(err.Error(), "more than 50000 rules") {
		t.Error(err)
	}
	delete(in.Manifest.Functions, "f0")
	if out, err := s.Stage(t.Context(), in); err != nil || len(out.Policies["f1"].Rules) != 1200 {
		t.Error(err)
	}
}

// TestUnguardedDeploy: a deploy does not become ready that would show everybody what is to have a password.
func TestUnguardedDeploy(t *testing.T) {
	t.Parallel()
	text := "/admin/*\n  Basic-Auth:\n"
	in := deploys.StageInput{Manifest: weir.Manifest{Files: map[string]weir.DeployFile{headersFile: {SHA256: "x"}}},
		Open: func(context.Context, string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}}
	s := stage{stateDir: t.TempDir(), keys: (&Server{}).signingKeys}
	if _, err := s.Stage(t.Context(), in); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "_headers:2: what is to ask for a password would be open") {
		t.Error(err)
	}
	text += "  Basic-Auth: me:secret\n" // no better
	if _, err := s.Stage(t.Context(), in); weir.ErrorCode(err) != weir.Invalid {
		t.Error(err)
	}
	text = "/admin/*\n  Basic-Auth: me:secret\n"
	if _, err := s.Stage(t.Context(), in); err != nil {
		t.Error(err)
	}
}
