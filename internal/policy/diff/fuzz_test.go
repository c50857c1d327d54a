package diff

import (
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/ask"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
)

// FuzzNoGain: whatever two files say, if nothing is gained then nothing is allowed after that was not
// before.
func FuzzNoGain(f *testing.F) {
	f.Add("[functions.f]\nhttp = [\"GET https://a.example/**\"]\n", "[functions.f]\nhttp = [\"GET https://a.example/*/x\", \"GET https://a.example/x\"]\n", "GET https://a.example/a/x")
	f.Add("[functions.\"*\"]\nhttp = [{ allow = \"GET *://*.example/x\", query = { q = \"*\" } }]\n", "[functions.f]\nhttp = [{ allow = \"GET https://a.example/x\", query = { q = \"1\" } }]\n", "GET https://a.example/x?q=1")
	f.Add("[functions.f]\ntcp = [\"*.internal:1\"]\nread = [\"/srv/**\"]\n", "[functions.f]\ntcp = [\"db.internal:1\"]\nread = [\"/srv/a/b\", \"/tmp/x\"]\n", "read /srv/a/b")
	f.Add("[functions.f]\nudp = [\"a.example:1\"]\ndns = [\"TXT *.a.example\"]\nenv = [\"A\"]\n", "[functions.f]\nenv = [\"A\", \"B\"]\nwrite = [\"/tmp/**\"]\nexec = [\"/usr/bin/cal\"]\naddons = true\n", "env B")
	f.Fuzz(func(t *testing.T, before, after, question string) {
		var p [2]*policy.Policy
		for i, text := range []string{before, after} {
			file, err := tomlpolicy.Parse("weir.toml", []byte(text))
			if err != nil {
				return
			}
			if p[i], err = file.For("f"); err != nil {
				return
			}
		}
		r, err := Compare(map[string]*policy.Policy{"f": p[0]}, map[string]*policy.Policy{"f": p[1]})
		if err != nil || r.Gains() > 0 {
			return
		}
		q, err := ask.Parse(question)
		if err != nil {
			return
		}
		a, _ := policy.Compile(p[0])
		b, _ := policy.Compile(p[1])
		if b.Decide(&q).Allow && !a.Decide(&q).Allow {
			t.Fatalf("nothing is gained, but %q is", question)
		}
		if q.Kind == policy.TCP && b.Names(q.Host, q.Port) && !a.Names(q.Host, q.Port) && b.Decide(&q).Allow {
			t.Fatalf("nothing is gained, but %q may lead to a private address", question)
		}
	})
}
