package instance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// TestInstanceWithinBounds: files, programs, variables and the mode that a policy asks for and its bound does not
// have, as a function finds them.
func TestInstanceWithinBounds(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "weir-bounds-") // t.TempDir is its owner's alone, and /tmp is another inside
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"named", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rules := func(read, program string, names ...string) []policy.Rule {
		out := []policy.Rule{{Kind: policy.Read, Pattern: read}, {Kind: policy.Exec, Pattern: program}}
		for _, n := range names {
			out = append(out, policy.Rule{Kind: policy.Env, Pattern: n})
		}
		return out
	}
	approved, err := policy.Compile(&policy.Policy{Rules: rules(dir+"/named", "/bin/true", "KEPT", "GONE")})
	if err != nil {
		t.Fatal(err)
	}
	const source = `const fs = require('fs'), cp = require('child_process');
const tried = (f) => { try { return String(f()); } catch (e) { return e.code; } };
exports.handler = async ({ dir }) => [
	tried(() => fs.readFileSync(dir + '/named')), tried(() => fs.readFileSync(dir + '/other')), tried(() => fs.writeFileSync('/tmp/x', 'x')),
	tried(() => cp.execFileSync('/bin/true')), tried(() => cp.execFileSync('/bin/ls')), process.env.KEPT, process.env.NEW ?? 'none', process.env.GONE ?? 'none',
];`
	own := &policy.Policy{Function: "f", Source: "weir.toml", Mode: policy.Monitor, Limits: weir.Limits{Processes: 8},
		Rules: append(rules(dir+"/**", "/bin/true", "KEPT", "NEW"), policy.Rule{Kind: policy.Exec, Pattern: "/bin/ls"})}
	w := newWorld(t, FleetOptions{})
	p := w.pool(own, source, func(c *Config) {
		c.Engine = c.Engine.Within(policy.Bound{Engine: approved, Name: "what was approved before", Remedy: "have it approved"})
		c.Egress = w.out.Function("f", c.Engine, w.records)
		c.Env = map[string]string{"KEPT": "k", "NEW": "n", "GONE": "g"}
	})
	if got, _ := call(t, p, `{"dir":"`+dir+`"}`); got != `["named","ENOENT","EROFS","","ENOENT","k","none","none"]` {
		t.Error(got)
	}
}
