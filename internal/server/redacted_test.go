package server

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/jobs"
	"github.com/weir-run/weir/internal/weir"
)

// lockedBuffer is written by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestThrownSecrets: what a function throws tells neither who runs the server, nor who sees its jobs, nor who calls one
// that can't be loaded, the value of a secret.
func TestThrownSecrets(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	p := newPlatform(t, func(o *ServeOptions) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	site := p.site("shop")
	const secret = "a-secret-that-is-long"
	err := p.variables.Set(t.Context(), environ.Author{Name: "owner"}, environ.Variable{Site: site.ID, Key: "KEY", Secret: true, Values: []environ.Value{{Context: environ.All, Value: secret}}})
	if err != nil {
		t.Fatal(err)
	}
	throws := "exports.handler = async () => { throw new Error('the key is ' + process.env.KEY); };\n"
	d := p.deploy(site, owner, content{files: map[string]string{"_weir.toml": "[functions.\"*\"]\nenv = [\"KEY\"]\n"},
		functions: map[string]string{"throws": throws, "broken": "throw new Error('loaded with ' + process.env.KEY);\n"}}, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	if status, _ := p.get("shop.localhost", "/.netlify/functions/throws"); status != 500 {
		t.Errorf("what throws: %d", status)
	}
	if status, body := p.get("shop.localhost", "/.netlify/functions/broken"); status != 502 || !strings.Contains(body, "loaded with [KEY]") {
		t.Errorf("what can't be loaded: %d %s", status, body)
	}
	out, err := runner{p.Server}.Run(t.Context(), jobs.Job{ID: "1", Site: site.ID, Deploy: d.ID, Function: "throws", Event: []byte("{}")})
	if err != nil || !strings.Contains(out.Error, "the key is [KEY]") {
		t.Errorf("the outcome of a run: %+v %v", out, err)
	}
	if out, err := (runner{p.Server}).Run(t.Context(), jobs.Job{ID: "2", Site: site.ID, Deploy: d.ID, Function: "broken", Event: []byte("{}")}); err != nil || out.Outcome != string(weir.Broken) || strings.Contains(out.Error, secret) {
		t.Errorf("the outcome of what can't be loaded: %+v %v", out, err)
	}
	p.end()
	if text := log.String(); strings.Contains(text, secret) || !strings.Contains(text, "[KEY]") {
		t.Errorf("the server's log: %s", text)
	}
}
