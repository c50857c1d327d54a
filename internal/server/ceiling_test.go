package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/weir"
)

// does runs what the query says in a file's function and answers with what came of it.
const does = `const fs = require("fs");
exports.handler = async ({ queryStringParameters: q }) => {
	try { return { statusCode: 200, body: "got " + (q.link ? fs.symlinkSync(q.to, q.link) : fs.readFileSync(q.read, "utf8")) } }
	catch (e) { return { statusCode: 200, body: e.code } }
}`

// hostDir makes a directory of the host in which functions may write.
func hostDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "weir-ceiling-") // /tmp is another one inside
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func withCeiling(t *testing.T, name, text string) func(*ServeOptions) {
	t.Helper()
	c, err := tomlpolicy.ParseCeiling(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *ServeOptions) { o.Ceiling = c }
}

// TestLinkOfAnotherSite: a function that may write a directory can't turn another site's rule for something in it
// into one for the rest of the host.
func TestLinkOfAnotherSite(t *testing.T) {
	dir, secret := hostDir(t), hostDir(t)
	if err := os.WriteFile(filepath.Join(secret, "key"), []byte("key"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := newPlatform(t, withCeiling(t, "ceiling.toml", fmt.Sprintf("[functions.\"*\"]\nwrite = [%q]\nread = [%q]\n", dir+"/**", dir+"/**")))
	policy := func(key, path string) map[string]string {
		return map[string]string{"_weir.toml": fmt.Sprintf("[functions.f]\n%s = [%q]\n", key, path)}
	}
	writer := p.deploy(p.site("writer"), owner, content{policy("write", dir+"/**"), map[string]string{"f": does}}, deploys.BeginOptions{})
	p.shows("writer.localhost", writer)
	if _, body := p.get("writer.localhost", "/.netlify/functions/f?to="+secret+"&link="+dir+"/x"); body != "got undefined" {
		t.Fatalf("the link was not made, so the test says nothing: %s", body)
	}
	reader := p.deploy(p.site("reader"), owner, content{policy("read", dir+"/x/**"), map[string]string{"f": does}}, deploys.BeginOptions{})
	p.shows("reader.localhost", reader)
	if status, body := p.get("reader.localhost", "/.netlify/functions/f?read="+dir+"/x/key"); status == 200 || strings.Contains(body, "key") {
		t.Errorf("the link was followed: %d %s", status, body)
	}
}

// TestNoFunctionMayWriteTheCeiling: it would have, from the next start on, whatever rights it likes.
func TestNoFunctionMayWriteTheCeiling(t *testing.T) {
	dir := hostDir(t)
	p := newPlatform(t, withCeiling(t, filepath.Join(dir, "ceiling.toml"), fmt.Sprintf("[functions.\"*\"]\nwrite = [%q]\n", dir+"/**")))
	d := p.deploy(p.site("shop"), owner, content{map[string]string{"_weir.toml": fmt.Sprintf("[functions.f]\nwrite = [%q]\n", dir+"/**")}, map[string]string{"f": does}}, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	if status, body := p.get("shop.localhost", "/.netlify/functions/f?to=/etc&link="+dir+"/x"); status == 200 {
		t.Errorf("%d %s", status, body)
	}
}

// TestHeldDeployReadsWhatWasApproved: by its own URL it runs with what its policy and the one before have in common,
// and nobody sees it in production.
func TestHeldDeployReadsWhatWasApproved(t *testing.T) {
	dir := hostDir(t)
	for _, name := range []string{"old", "new"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := newPlatform(t, withCeiling(t, "ceiling.toml", fmt.Sprintf("[functions.\"*\"]\nread = [%q]\n", dir+"/**")))
	site := p.site("shop")
	reads := func(path string) content {
		return content{map[string]string{"_weir.toml": fmt.Sprintf("[functions.f]\nread = [%q]\n", dir+path)}, map[string]string{"f": does}}
	}
	first := p.deploy(site, owner, reads("/old"), deploys.BeginOptions{})
	p.shows("shop.localhost", first)
	held := p.deploy(site, deploys.Author{Name: "dev"}, reads("/**"), deploys.BeginOptions{})
	if held.Review != weir.ReviewHeld {
		t.Fatalf("%+v", held)
	}
	ask := func(host, file string) string {
		_, body := p.get(host, "/.netlify/functions/f?read="+dir+"/"+file)
		return body
	}
	draft := held.ID + "--shop.localhost"
	if got := []string{ask(draft, "old"), ask(draft, "new"), ask("shop.localhost", "old")}; strings.Join(got, ", ") != "got old, ENOENT, got old" {
		t.Errorf("while it is held: %s", got)
	}
	if _, err := p.deploys.Approve(t.Context(), owner, held.ID, ""); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return ask(draft, "new") == "got new" })
}
