// This file exists because how instances run is words and counts, not rules: what one invocation may find
// of another, how many share an instance, and how many wait for callers.

package tomlpolicy

import (
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// maxInstances bounds instances and invocations at a time in one.
const maxInstances = 1000

var (
	isolations     = []string{string(weir.PerInstance), string(weir.PerRequest)}
	likeIsolations = map[string]string{"invocation": "request", "process": "request", "function": "instance", "none": "instance"}
)

// running reads a key that says how instances run; nil after an error.
func (r *reader) running(key string, v *value) func(*policy.Policy) {
	switch key {
	case "isolation":
		if text, ok := r.choice(key, v, isolations, likeIsolations); ok {
			return func(p *policy.Policy) { p.Running.Isolation = weir.Isolation(text) }
		}
	case "concurrency":
		if n, ok := r.count(key, v, 1, maxInstances); ok {
			return func(p *policy.Policy) { p.Running.Concurrency = int(n) }
		}
	case "keep_warm":
		if n, ok := r.count(key, v, 0, maxInstances); ok {
			return func(p *policy.Policy) { p.Running.KeepWarm = int(n) }
		}
	}
	return nil
}
