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
