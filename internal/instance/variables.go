package instance

// In monitor mode a function sees all of the site's variables, and the shim tells which of them its code
// reads, so that a policy can be learned.

import (
	"slices"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// watched gives the variables whose reading is worth a record: in monitor mode, those that a rule can name.
func (in *instance) watched() []string {
	if !in.cfg.monitored() || in.cfg.Engine.Policy().Intrinsic {
		return nil
	}
	var names []string
	for name := range in.cfg.Env {
		if policy.Check(policy.Rule{Kind: policy.Env, Pattern: name}) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// variable records that a variable of the site's was read, with the decision that enforcement would have
// made. The shim's word may be forged: other names are nothing to record.
func (d *denials) variable(name string) {
	if !slices.Contains(d.in.watched(), name) {
		return
	}
	eng := d.in.cfg.Engine
	req := policy.Request{Kind: policy.Env, Path: name}
	dec := eng.Decide(&req)
	x := eng.Explain(&req, dec)
	rec := record.Decision{Verdict: record.Allow, Kind: "env", Target: name, Nearest: x.Nearest, Rule: x.Rule, Fix: x.Fix, Source: record.Shim}
	if !dec.Allow {
		rec.Verdict, rec.Reason = record.Deny, x.Reason
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(rec)
}
