package policy

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// TestCutTakesNothingAway: what is cut from a policy is nothing that it could do within the ceiling, and nothing is
// denied by the ceiling that no warning was about.
func TestCutTakesNothingAway(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	gone, told, granted := 0, 0, 0
	for range 300 {
		p, c := randomPolicy(r), &Ceiling{Policy: randomPolicy(r)}
		for i := range p.Rules {
			p.Rules[i].Pos = weir.Position{File: "weir.toml", Line: i + 1}
		}
		cut, beyond, err := Cut(p, c)
		if err != nil {
			t.Fatal(err)
		}
		gone += len(p.Rules) - len(cut.Rules)
		warned := map[int]bool{}
		for _, w := range beyond {
			warned[w.Pos.Line] = true
		}
		own, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		less, err := Compile(cut)
		if err != nil {
			t.Fatal(err)
		}
		within, cutWithin := own.Within(capped(t, c)), less.Within(capped(t, c))
		for range 100 {
			other, url := randomOther(t, r), randomRequest(t, r)
			for _, req := range []*Request{other, &url} {
				mine, d := own.Decide(req), within.Decide(req)
				if cutWithin.Decide(req).Allow != d.Allow {
					t.Fatalf("%+v: %v before the cut, %v after it; rules %+v within %+v", req, d.Allow, !d.Allow, p.Rules, c.Policy.Rules)
				}
				switch {
				case d.Allow:
					granted++
				case mine.Allow && mine.Rule >= 0:
					if told++; !warned[mine.Rule+1] {
						t.Fatalf("%+v is denied by the ceiling, and nobody was told: %+v within %+v", req, p.Rules[mine.Rule], c.Policy.Rules)
					}
				}
			}
		}
	}
	if gone < 100 || told < 500 || granted < 500 {
		t.Errorf("%d rules are cut, %d requests denied, %d granted: the test says little", gone, told, granted)
	}
}

// TestCutOfBootstraps: what Intrinsic's policies say that no rule of weir.toml does.
func TestCutOfBootstraps(t *testing.T) {
	p := &Policy{Function: "f", Source: "f.js", Intrinsic: true, Rules: rules("globfile /srv/*.json", "globfile /etc/*.json")}
	cut, beyond, err := Cut(p, &Ceiling{Policy: &Policy{Source: "ceiling.toml", Rules: rules("read /srv/**", "env A")}})
	if err != nil || len(cut.Rules) != 1 || len(beyond) != 2 {
		t.Fatalf("%+v %v %v", cut, beyond, err)
	}
	all := beyond[0].Error() + beyond[1].Error()
	if !strings.Contains(all, "only those of the site's variables that the organisation's ceiling names") || !strings.Contains(all, `read "/etc/*.json" is beyond`) {
		t.Error(all)
	}
	if _, beyond, _ := Cut(p, nil); len(beyond) != 2 {
		t.Errorf("by default, variables are open and files of the host are not: %v", beyond)
	}
}
