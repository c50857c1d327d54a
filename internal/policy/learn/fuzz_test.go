package learn

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/record"
)

// FuzzEdit: whatever a valid weir.toml looks like, what is added to it takes nothing away, and gives the
// function what was learned and no other function anything. (A result that is no valid file is refused
// by the command.)
func FuzzEdit(f *testing.F) {
	for _, seed := range []string{
		"", "[functions.f]\n", "[functions.f]\nhttp = []\n[functions.g]\nenv=['A']", "[functions.\"*\"]\nhttp=[\"GET https://a.test/\"]",
		"[functions.f] # c\nhttp = [ 'GET https://a.test/' , # ]\n ]\nenv = [\n\"A\"\n]", "[functions.f]\nhttp = [{allow=\"GET https://a.test/\",query={x=\"]\"}}]\n",
		"[functions.f]\nlimits = { timeout = \"1s\" }\n\n# about g\n[functions.g]\n", "[functions . 'f']\nhttp=[]", "[functions]\nf.env=[\"A\"]", "[functions.f]\n\"http\" = [\"GET https://a.test/\"]\r\n",
		"[functions.f]\nhttp = [\"\"\"GET https://a.test/[\"\"\"]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		before, err := tomlpolicy.Parse("weir.toml", []byte(text))
		if err != nil {
			t.Skip()
		}
		pf, err1 := before.For("f")
		pg, err2 := before.For("g")
		if err1 != nil || err2 != nil {
			t.Skip()
		}
		have := map[string]*policy.Policy{}
		if pf.Source != "" {
			have["f"] = pf
		}
		r := newRun()
		r.invocation("f").tried("http", "GET", "https://new.test/x").tried("exec", "", "/bin/sh").record(record.Decision{Verdict: record.Allow, Kind: "http",
			Method: "GET", Target: "https://a.test/", Nearest: `"GET https://a.test/"`, Rule: "weir.toml:1"})
		p, err := r.set.Propose(Options{Sources: all(everything{}), Existing: have})
		if err != nil {
			t.Skip()
		}
		out, err := p.Edit("weir.toml", text, have)
		if err != nil {
			return
		}
		after, err := tomlpolicy.Parse("weir.toml", []byte(out))
		if err != nil {
			return
		}
		qf, err := after.For("f")
		if err != nil {
			return
		}
		if a, b := patterns(pf), patterns(qf); !strings.Contains(b, "GET https://new.test/x") && len(p.Functions) > 0 && hasLive(p) || !within(a, b) {
			t.Errorf("f had %q, now %q\n%s\n---\n%s", a, b, text, out)
		}
		if qg, err := after.For("g"); err != nil || patterns(qg) != patterns(pg) {
			t.Errorf("g had %q, now %q (%v)\n%s\n---\n%s", patterns(pg), patterns(qg), err, text, out)
		}
	})
}

func patterns(p *policy.Policy) string {
	var out []string
	for _, r := range p.Rules {
		out = append(out, r.Kind.String()+" "+r.Pattern)
	}
	return strings.Join(out, "\n")
}

func within(a, b string) bool {
	for _, l := range strings.Split(a, "\n") {
		if !strings.Contains("\n"+b+"\n", "\n"+l+"\n") && l != "" {
			return false
		}
	}
	return true
}

func hasLive(p *Proposal) bool {
	for _, f := range p.Functions {
		for i := range f.Rules {
			if f.Rules[i].Live() {
				return true
			}
		}
	}
	return false
}
