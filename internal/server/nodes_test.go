package server

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/runtime"
)

// TestNodePerFunction: a function whose Node can't be had says so, the others run on theirs.
func TestNodePerFunction(t *testing.T) {
	own, err := runtime.FindNode(t.Context(), runtime.NodeOptions{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	other := 20
	if own.Major == other {
		other = 22
	}
	t.Setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:1") // nobody listens there
	const version = "exports.handler = async () => ({ statusCode: 200, body: process.version });\n"
	s := serveStill(t, map[string]string{
		"netlify.toml":      netlify + fmt.Sprintf("[build.environment]\nAWS_LAMBDA_JS_RUNTIME = \"nodejs%d.x\"\n", other),
		"weir.toml":         fmt.Sprintf("[functions.mine]\nruntime = \"nodejs%d\"\n", own.Major),
		"functions/mine.js": version, "functions/theirs.js": version,
	})
	if status, body := s.get(t, "/.netlify/functions/mine"); status != 200 || body != own.Version {
		t.Errorf("%d %s", status, body)
	}
	want := fmt.Sprintf("Node.js %d is not on this machine", other)
	if status, body := s.get(t, "/.netlify/functions/theirs"); status != 502 || !strings.Contains(body, want) {
		t.Errorf("%d %s", status, body)
	}
	if log := s.log.String(); !strings.Contains(log, fmt.Sprintf("put Node.js %d on the PATH", other)) {
		t.Errorf("the log doesn't say what to do:\n%s", log)
	}
	s.write(t, ".env", "AWS_LAMBDA_JS_RUNTIME=18\n")
	if changed, err := s.Reload(t.Context()); !changed || err != nil {
		t.Fatal(changed, err)
	}
	if status, body := s.get(t, "/.netlify/functions/theirs"); status != 200 || body != own.Version {
		t.Errorf("on the server's: %d %s", status, body)
	}
	if log := s.log.String(); !strings.Contains(log, "is no version that functions can run on") {
		t.Errorf("no warning of a version that does not exist:\n%s", log)
	}
}

func TestJSRuntime(t *testing.T) {
	for _, c := range []struct {
		file, env string
		want      int
		warned    bool
	}{
		{"", "", 0, false},
		{"nodejs22.x", "", 22, false},
		{"nodejs22.x", "20.x", 20, false},
		{"", "v24", 24, false},
		{"nodejs18.x", "", 0, true},
		{"lts", "", 0, true},
		{"99999999999999999999", "", 0, true},
	} {
		got, warnings := jsRuntime(cmp.Or(c.env, c.file))
		if got != c.want || len(warnings) > 0 != c.warned {
			t.Errorf("%q %q: %d %q", c.file, c.env, got, warnings)
		}
	}
}
