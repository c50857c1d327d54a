package instance

import (
	"fmt"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
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
	d.begin("next")
	d.reported(runtime.Report{Kind: "exec", Target: "/bin/sh"})
	if len(kept) != maxDenials+3 {
		t.Errorf("%d records", len(kept))
	}
}

type recorded []record.Decision

func (r *recorded) Decided(d record.Decision) { *r = append(*r, d) }
func (*recorded) Invoked(record.Invocation)   {}
