package cli

// How much memory a server takes. What passes through the store leaves buffers behind that Go gets back only after
// several collections, and meanwhile takes for what is live: while large deploys are read, its heap would grow from one
// collection to the next, far beyond what is in use.

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

const (
	memoryGoal = 160 << 20 // bytes that the server takes at most, as long as what is live for long is less than half
	liveTime   = 10 * time.Second
	liveLooks  = 6 // at what was live, until it counts
)

// boundMemory has Go collect garbage rather than take more memory than memoryGoal. A server that needs more for long
// gets it: it would do little else than collect. GOMEMLIMIT stands before all this.
func boundMemory(ctx context.Context) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(memoryGoal)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var last []uint64
	tick := time.NewTicker(liveTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(live)
		if last = append(last, live[0].Value.Uint64()); len(last) > liveLooks {
			last = last[1:]
		}
		debug.SetMemoryLimit(max(memoryGoal, int64(2*slices.Min(last))))
	}
}
