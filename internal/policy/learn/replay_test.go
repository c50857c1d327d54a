package learn

import (
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// TestWhatWaitsInCommentsIsCountedApart: a call that learning left for review is neither as before nor
// newly denied, whatever kind it is of, unless the rule is of another function or hides a part.
func TestWhatWaitsInCommentsIsCountedApart(t *testing.T) {
	r := newRun()
	i := r.invocation("pay")
	waiting := 0
	for _, d := range []record.Decision{
		{Kind: "http", Method: "POST", Target: "https://drop.evil.test/x/123"}, {Kind: "ws", Target: "wss://drop.evil.test/y"}, {Kind: "tcp", Target: "drop.evil.test:443"},
		{Kind: "tcp", Target: "db.evil.test:22"}, {Kind: "dns", Target: "TXT evil.test"}, {Kind: "read", Target: "/etc/passwd"}, {Kind: "exec", Target: "/bin/sh"},
		{Kind: "env", Target: "NPM_TOKEN"}, {Kind: "write", Target: "/srv/x"},
	} {
		d.Verdict, d.Mode = record.Deny, record.Monitor
		i.record(d)
		waiting++
	}
	i.tried("http", "GET", "https://736b5f6c6976655f3132333435363738.evil.test/") // is told without its name
	text, err := propose(t, r.set, Options{Sources: all(files{})}).Edit("weir.toml", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(string) (*policy.Engine, error) { return policy.Compile(&policy.Policy{Source: "weir.toml"}) }
	replay := NewReplay(nothing, text+"\n[functions.mail]\n")
	for _, d := range r.all {
		replay.Decided(d)
		d.Function = "mail"
		replay.Decided(d)
	}
	if replay.Waiting != waiting || replay.Same != len(r.all)+1 || replay.Denied != 0 {
		t.Errorf("%d wait, %d are as before, %d denied; want %d and %d\n%s", replay.Waiting, replay.Same, replay.Denied, waiting, len(r.all)+1, text)
	}
}
