package instance

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

// TestWordsCantCrowdOutFacts: however much the shim says, what the kernel saw has room.
func TestWordsCantCrowdOutFacts(t *testing.T) {
	eng, err := policy.Compile(&policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	var kept recorded
	d := newDenials(&instance{cfg: &Config{Function: "f", Engine: eng, Recorder: &kept}})
	for i := range 2 * maxDenials {
		d.reported(runtime.Report{Kind: "exec", Target: fmt.Sprint("/bin/", i)})
	}
	if d.named > maxDenials {
		t.Errorf("%d programs that left no record were taken for named", d.named)
	}
	d.found(record.Decision{Kind: "syscall", Target: "ptrace", Source: record.Kernel})
	d.forks = 1
	d.flush()
	n := map[record.Source]int{}
	for _, r := range kept {
		n[r.Source]++
	}
	if n[record.Shim] != maxDenials || n[record.Kernel] != 2 {
		t.Errorf("%v", n)
	}
	d.begin([]string{"next"})
	d.reported(runtime.Report{Kind: "exec", Target: "/bin/sh"})
	if len(kept) != maxDenials+3 {
		t.Errorf("%d records", len(kept))
	}
}

type recorded []record.Decision

func (r *recorded) Decided(d record.Decision) { *r = append(*r, d) }
func (*recorded) Invoked(record.Invocation)   {}

// TestDenialsNameAllInFlight: a denial is put down to nobody alone while it may be another's.
func TestDenialsNameAllInFlight(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{Concurrency: 2}}, `const fs = require('fs');
		exports.handler = (e) => new Promise((r) => { try { fs.readFileSync('/srv/' + e.file); } catch {} setTimeout(r, e.ms ?? 0, 1); });`, nil)
	call := func(id, event string) {
		if _, _, err := p.Invoke(t.Context(), weir.Invocation{ID: id, Function: "f", Event: json.RawMessage(event)}); err != nil {
			t.Error(err)
		}
	}
	var beside sync.WaitGroup
	beside.Go(func() { call("a", `{"file":"a","ms":1000}`) })
	w.until("it has tried", func() bool { return len(w.records.Denials()) == 1 })
	call("b", `{"file":"b"}`)
	call("c", `{"file":"c"}`)
	beside.Wait()
	call("d", `{"file":"d"}`)
	got := map[string]string{}
	for _, d := range w.records.Denials() {
		got[d.Target] = strings.Join(d.Among(), " ")
	}
	if want := map[string]string{"/srv/a": "a", "/srv/b": "a b", "/srv/c": "a c", "/srv/d": "d"}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// attempted is a program of which the kernel saw these attempts.
type attempted struct {
	program
	seen chan sandbox.Attempt
}

func (a attempted) Attempts() <-chan sandbox.Attempt { return a.seen }
func (attempted) Dropped() uint64                    { return 0 }

// TestOneChildOneRecord: what kernel and shim say of a child process becomes one record, whoever comes first.
func TestOneChildOneRecord(t *testing.T) {
	eng, err := policy.Compile(&policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	shim := func(d *denials) { d.reported(runtime.Report{Kind: "exec", Target: "/bin/sh"}) }
	kernel := func(d *denials) {
		seen := make(chan sandbox.Attempt, 1)
		seen <- sandbox.Attempt{Syscall: "clone"}
		close(seen)
		d.follow(attempted{seen: seen})
	}
	for want, said := range map[string][]func(*denials){
		"/bin/sh shim":             {shim, kernel},
		"(a child process) kernel": {kernel},
	} {
		var kept recorded
		d := newDenials(&instance{id: "i", cfg: &Config{Engine: eng, Recorder: &kept}})
		for _, say := range said {
			say(d)
		}
		if len(kept) != 1 || kept[0].Target+" "+string(kept[0].Source) != want {
			t.Errorf("%s: %+v", want, kept)
		}
	}
}

// TestWhatIsAllowedIsNoDenial: a file that a rule grants may be missing all the same.
func TestWhatIsAllowedIsNoDenial(t *testing.T) {
	eng, err := policy.Compile(&policy.Policy{Rules: []policy.Rule{{Kind: policy.Read, Pattern: "/srv/data/**"}}})
	if err != nil {
		t.Fatal(err)
	}
	var kept recorded
	d := newDenials(&instance{id: "i", cfg: &Config{Engine: eng, Recorder: &kept}})
	for _, file := range []string{"/srv/data/missing", "/srv/other"} {
		d.reported(runtime.Report{Kind: "read", Target: file, Errno: "ENOENT"})
	}
	if len(kept) != 1 || kept[0].Target != "/srv/other" {
		t.Errorf("%+v", kept)
	}
}
