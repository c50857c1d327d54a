package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/api/wire"
)

// uploads is a server that takes deploys and refuses every upload until it is told otherwise.
type uploads struct {
	mu       sync.Mutex
	begun    int
	refuse   bool
	got      map[string]bool
	declared wire.Declaration
	state    string
}

func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	defer u.mu.Unlock()
	at := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1")
	d := wire.Deploy{ID: fmt.Sprint("d", u.begun), SiteID: "s", State: u.state, Name: "shop", URL: "http://shop.localhost", Weir: wire.DeployReview{Published: true}}
	var answer any = &d
	switch {
	case at == "GET /sites/shop" || at == "GET /sites/s":
		answer = wire.Site{ID: "s", Name: "shop"}
	case at == "POST /sites/s/deploys":
		u.begun++
		d.ID, u.state = fmt.Sprint("d", u.begun), "new"
	case strings.HasPrefix(at, "PUT /sites/s/deploys/"):
		json.Unmarshal(body, &u.declared)
		u.state = "uploading"
	case strings.Contains(at, "/files/"):
		_, name, _ := strings.Cut(at, "/files/")
		if u.refuse && name == "b.txt" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			answer = wire.Error{Weir: wire.ErrorInfo{Code: "invalid", Message: "not now"}}
			break
		}
		u.got[u.declared.Files[name]] = true
		u.state = "ready"
		for _, sum := range u.declared.Files {
			if !u.got[sum] {
				u.state = "uploading"
			}
		}
	case strings.HasSuffix(at, "/diff"):
		answer = struct{}{}
	}
	d.State = u.state
	for _, sum := range u.declared.Files {
		if !u.got[sum] {
			d.Required = append(d.Required, sum)
		}
	}
	json.NewEncoder(w).Encode(answer)
}

// TestAnInterruptedDeployGoesOn: with the same deploy, and without what has arrived; a different one begins anew.
func TestAnInterruptedDeployGoesOn(t *testing.T) {
	u := &uploads{refuse: true, got: map[string]bool{}}
	srv := httptest.NewServer(u)
	defer srv.Close()
	dir := t.TempDir()
	t.Setenv("WEIR_STATE_DIR", stateOf(t))
	writeFiles(t, dir, map[string]string{"netlify.toml": "[build]\npublish = \"public\"\n", "public/a.txt": "a", "public/b.txt": "b"})
	deploy := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"deploy", dir, "--server", srv.URL}, args...), nil, &out, &errs)
		return code, errs.String()
	}
	if code, said := deploy("--site", "shop"); code == 0 || !strings.Contains(said, "the same command goes on with it: not now") {
		t.Fatalf("%d: %s", code, said)
	}
	if _, err := os.Stat(filepath.Join(dir, begunFile)); err != nil || u.begun != 1 {
		t.Fatalf("%d deploys begun: %v", u.begun, err)
	}
	if _, said := deploy("--title", "another"); u.begun != 2 {
		t.Errorf("one with another title went on with the first: %s", said)
	}
	u.refuse = false
	before := len(u.got)
	code, said := deploy("--title", "another")
	if code != 0 || u.begun != 2 || !strings.Contains(said, "going on with the deploy d2") || !strings.Contains(said, fmt.Sprintf("3 files and 0 functions, %d to upload", 3-before)) {
		t.Errorf("%d deploys begun, exit %d: %s", u.begun, code, said)
	}
	if _, err := os.Stat(filepath.Join(dir, begunFile)); err == nil {
		t.Error("a deploy that has ended would be gone on with")
	}
}

// TestWhatIsDeployed: no hidden file, no link that leads out, and the site's own configuration.
func TestWhatIsDeployed(t *testing.T) {
	u := &uploads{got: map[string]bool{}}
	srv := httptest.NewServer(u)
	defer srv.Close()
	t.Setenv("WEIR_STATE_DIR", stateOf(t))
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"netlify.toml": "[build]\npublish = \"public\"\n", "weir.toml": "mode = \"enforce\"\n", "secret.txt": "s",
		"public/a.txt": "a", "public/.env": "K=1", "public/.well-known/x": "x", "public/node_modules/m/i.js": "m", "public/netlify.toml": "own", "public/sub/.git/config": "g"})
	if err := os.Symlink("a.txt", filepath.Join(dir, "public/link.txt")); err != nil {
		t.Fatal(err)
	}
	deploy := func() (int, string) {
		var out, errs bytes.Buffer
		return Main([]string{"deploy", dir, "--server", srv.URL, "--site", "shop"}, nil, &out, &errs), errs.String()
	}
	if code, said := deploy(); code != 0 {
		t.Fatal(said)
	}
	var names []string
	for name := range u.declared.Files {
		names = append(names, name)
	}
	if got, want := len(names), 5; got != want {
		t.Errorf("deployed: %q", names)
	}
	for _, name := range []string{"a.txt", "link.txt", ".well-known/x", "netlify.toml", "_weir.toml"} {
		if u.declared.Files[name] == "" {
			t.Errorf("%s was not deployed: %q", name, names)
		}
	}
	if err := os.Symlink("../secret.txt", filepath.Join(dir, "public/out.txt")); err != nil {
		t.Fatal(err)
	}
	if code, said := deploy(); code != exitInput || !strings.Contains(said, "out.txt") {
		t.Errorf("a link that leads out of the publish folder: %d %s", code, said)
	}
}
