package instance

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// TestMonitorMode: files, programs and variables of a function whose policy is monitored.
func TestMonitorMode(t *testing.T) {
	const source = `const fs = require('fs'), cp = require('child_process');
fs.writeFileSync('/tmp/cache', 'x');
const tried = (f) => { try { return f(); } catch (e) { return e.code; } };
exports.handler = async () => [
	tried(() => { fs.appendFileSync('/tmp/cache', 'y'); return fs.readFileSync('/tmp/cache', 'utf8'); }),
	process.env.TOKEN, process.env.LD_PRELOAD ?? 'none',
	tried(() => fs.readFileSync('/srv/prices/today', 'utf8')),
	tried(() => cp.execFileSync('/bin/true')),
];
`
	p := newPoolOf(t, 1, &policy.Policy{Function: "f", Source: "weir.toml", Mode: policy.Monitor}, source)
	p.cfg.Env = map[string]string{"TOKEN": "t", "LD_PRELOAD": "/evil.so"}
	for i := range 2 {
		res, _, err := p.Invoke(t.Context(), weir.Invocation{ID: "r", Function: "f", Event: json.RawMessage("{}")})
		want := `["xy","t","none","ENOENT","EACCES"]`
		if i == 1 {
			want = `["xyy","t","none","ENOENT","EACCES"]`
		}
		if err != nil || string(res.Payload) != want {
			t.Fatalf("%s %v %+v", res.Payload, err, res.Error)
		}
	}
	got := map[string]record.Decision{}
	for _, d := range p.cfg.Recorder.(*record.Memory).Decisions() {
		if d.Verdict != record.Deny || d.Mode != record.Monitor || d.Reason == "" {
			t.Errorf("%+v", d)
		}
		got[d.Kind+" "+d.Target] = d
	}
	if d := got["write /tmp"]; !d.Import || d.Source != record.Kernel || d.Fix != `write = ["/tmp/**"]` {
		t.Errorf("what was written at import: %+v", d)
	}
	if d := got["read /srv/prices/today"]; d.Import || d.Request != "r" || d.Fix != `read = ["/srv/prices/today"]` {
		t.Errorf("%+v", d)
	}
	if d := got["exec /bin/true"]; d.Fix != `exec = ["/bin/true"]` {
		t.Errorf("%+v", d)
	}
}

// TestMonitorSeesAddons: a native library is loaded without a rule, and recorded once.
func TestMonitorSeesAddons(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler (cc)")
	}
	p := newPoolOf(t, 1, &policy.Policy{Function: "f", Source: "weir.toml", Mode: policy.Monitor},
		"require('./x.node');\nexports.handler = async () => 1;\n")
	p.cfg.Bundle.Addons = []string{"x.node"}
	file := filepath.Join(p.cfg.Bundle.Dir, "x.node")
	source := filepath.Join(t.TempDir(), "x.c")
	if err := os.WriteFile(source, []byte("void *napi_register_module_v1(void *env, void *exports) { return exports; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", file, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 2 {
		if code, _ := invoke(t, p, "{}"); code != "" {
			t.Fatal(code)
		}
	}
	got := p.cfg.Recorder.(*record.Memory).Decisions()
	if len(got) != 1 || got[0].Kind != "addon" || got[0].Target != "/var/task/x.node" || got[0].Mode != record.Monitor || !got[0].Import || got[0].Fix != "addons = true" {
		t.Errorf("%+v", got)
	}
}

// TestMonitorSeesVariables: which of the site's variables the code reads is recorded, by name; who copies
// all of them has read none.
func TestMonitorSeesVariables(t *testing.T) {
	const source = `const copy = JSON.stringify(process.env);
exports.handler = async () => process.env.GRANTED + process.env.TOKEN + process.env.LD_PRELOAD + process.env.URL;
`
	p := newPoolOf(t, 1, &policy.Policy{Function: "f", Source: "weir.toml", Mode: policy.Monitor,
		Rules: []policy.Rule{{Kind: policy.Env, Pattern: "GRANTED"}}}, source)
	p.cfg.Env = map[string]string{"GRANTED": "g", "TOKEN": "t", "OTHER": "o", "LD_PRELOAD": "/evil.so"}
	for range 2 {
		if code, _ := invoke(t, p, "{}"); code != "" {
			t.Fatal(code)
		}
	}
	var got []string
	for _, d := range p.cfg.Recorder.(*record.Memory).Decisions() {
		got = append(got, fmt.Sprint(d.Kind, " ", d.Target, " ", d.Verdict, " ", d.Mode, " ", d.Import, " ", d.Fix))
	}
	want := []string{"env GRANTED allow  false ", `env TOKEN deny monitor false env = ["TOKEN"]`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
