package jobs

// Runs under way, which outlive the end of Work's context for a while.

import (
	"context"
	"sync"
	"time"
)

// runs are the goroutines of what is under way.
type runs struct {
	clock  Clock
	ctx    context.Context
	cancel context.CancelCauseFunc
	all    sync.WaitGroup
}

func newRuns(clock Clock) *runs {
	r := &runs{clock: clock}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

func (r *runs) begin(run func(context.Context)) { r.all.Go(func() { run(r.ctx) }) }

// end waits for all, and ends those that take longer than grace.
func (r *runs) end(grace time.Duration) {
	ended := make(chan struct{})
	go func() {
		r.all.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-in(r.clock, grace):
		r.cancel(errStopping)
		<-ended
	}
}
