// This file exists because people name versions of Node.js in many ways, and one is meant.

package tomlpolicy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/policy"
)

var (
	runtimes     = []string{"nodejs24", "nodejs22", "nodejs20"}
	likeRuntimes = likeRuntimesOf(runtimes)
)

// likeRuntimesOf gives the other ways in which people write the runtimes.
func likeRuntimesOf(names []string) map[string]string {
	like := map[string]string{}
	for _, name := range names {
		n := strings.TrimPrefix(name, "nodejs")
		for _, format := range []string{"%s", "v%s", "node%s", "node-%s", "node %s", "nodejs-%s", "nodejs%s.x", "%s.x"} {
			like[fmt.Sprintf(format, n)] = name
		}
	}
	return like
}

// runtime reads the version of Node.js that a function runs on.
func (r *reader) runtime(v *value) func(*policy.Policy) {
	text, ok := r.choice("runtime", v, runtimes, likeRuntimes)
	if !ok {
		return nil
	}
	major, err := strconv.Atoi(strings.TrimPrefix(text, "nodejs"))
	if err != nil {
		panic(err) // runtimes stand above
	}
	return func(p *policy.Policy) { p.Running.Node = major }
}
