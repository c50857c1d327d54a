package server

// Functions whose policy is Intrinsic's are watched by people and tools that know Intrinsic's log: there,
// each denial is told in its words as well.

import (
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/violation"
)

// violations writes lines to the logs of functions. It stands behind the redactor: no secret of the
// site's reaches it.
type violations struct {
	*record.Teller
	functions atomic.Pointer[map[string]bool] // those with such a policy
}

func newViolations(log func(instance.Line)) *violations {
	v := &violations{}
	v.Teller = record.NewTeller(func(d record.Decision) {
		for _, text := range violation.Lines(d) {
			log(instance.Line{Time: time.Now(), Function: d.Function, Instance: d.Instance, Request: d.Request, Among: d.Requests, Stream: "stderr", Text: text})
		}
	})
	return v
}

// watch says by which policies functions run from now on.
func (v *violations) watch(engines map[string]*policy.Engine) {
	functions := map[string]bool{}
	for name, e := range engines {
		functions[name] = e.Policy().Intrinsic
	}
	v.functions.Store(&functions)
}

// Decided tells of a denial of a watched function.
func (v *violations) Decided(d record.Decision) {
	if functions := v.functions.Load(); functions != nil && (*functions)[d.Function] {
		v.Teller.Decided(d)
	}
}
