package server

// Background functions in weir dev: what was taken runs once, and is lost when the server ends.

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/weir-run/weir/internal/invoke"
	"github.com/weir-run/weir/internal/weir"
)

// maxBackground bounds the background functions that run or wait at a time.
const maxBackground = 100

// background runs invocations that nobody waits for.
type background struct {
	dispatcher *invoke.Dispatcher
	logger     *slog.Logger
	slots      chan struct{}
	running    sync.WaitGroup
	ctx        context.Context // of all of them
	stop       context.CancelFunc
}

func newBackground(d *invoke.Dispatcher, l *slog.Logger) *background {
	b := &background{dispatcher: d, logger: l, slots: make(chan struct{}, maxBackground)}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// accept is gateway.Options.Accept.
func (b *background) accept(_ context.Context, inv weir.Invocation) error {
	select {
	case b.slots <- struct{}{}:
	default:
		return &weir.Error{Code: weir.Busy, Message: fmt.Sprintf("%d background functions run or wait already", maxBackground), Remedy: "call it later"}
	}
	b.running.Go(func() {
		defer func() { <-b.slots }()
		b.run(inv)
	})
	return nil
}

func (b *background) run(inv weir.Invocation) {
	res, err := b.dispatcher.Invoke(b.ctx, inv)
	if err == nil {
		res, err = res.Whole()
	}
	if err == nil && res.Error != nil {
		err = res.Error
	}
	if err != nil {
		b.logger.Error("a background function failed", "function", inv.Function, "request", inv.ID, "error", weir.Printable(weir.Cut(err.Error(), 1<<10)))
	}
}

// close ends what waits for its turn. What runs ends with its instance.
func (b *background) close() { b.stop() }
