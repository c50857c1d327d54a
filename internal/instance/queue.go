package instance

// The queue of one function: who finds no instance waits for one, who came first the shortest.

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// waiter is a caller in the queue.
type waiter struct {
	place *list.Element
	since time.Time
	turn  chan *instance // gets the instance that is the caller's now, nil if it may start one; has room for it
}

// take gives an instance that has room and takes that room, or starts one, or waits until either is
// possible.
func (p *Pool) take(ctx context.Context) (in *instance, cold bool, err error) {
	f := p.cfg.Fleet
	f.mu.Lock()
	if p.closed {
		f.mu.Unlock()
		return nil, false, replaced()
	}
	p.called = time.Now()
	if p.queue.Len() == 0 {
		if in = p.pop(); in != nil {
			p.keepWarm()
			f.mu.Unlock()
			return in, false, nil
		}
		if p.eager() && p.mayStart() {
			p.count()
			f.mu.Unlock()
			in, err = p.start(1)
			return in, true, err
		}
	}
	if p.queue.Len() >= p.cfg.Queue {
		defer f.mu.Unlock()
		return nil, false, p.noRoom(fmt.Sprintf("%d callers wait for %s already", p.queue.Len(), p.cfg.Function))
	}
	w := p.enqueue()
	f.mu.Unlock()
	return p.await(ctx, w)
}

// await waits for the turn of w.
func (p *Pool) await(ctx context.Context, w *waiter) (in *instance, cold bool, err error) {
	wait := time.NewTimer(p.limits.Timeout)
	defer wait.Stop()
	select {
	case in = <-w.turn:
		return p.use(in)
	case <-ctx.Done():
		err = &weir.Error{Code: weir.Unavailable, Message: "the caller gave up", Err: ctx.Err()}
	case <-wait.C:
	}
	f := p.cfg.Fleet
	f.mu.Lock()
	if p.leave(w) {
		defer f.mu.Unlock()
		if err == nil {
			err = p.noRoom("all instances of " + p.cfg.Function + " are busy")
		}
		return nil, false, err
	}
	f.mu.Unlock()
	in = <-w.turn // it came at the same moment
	if err == nil {
		return p.use(in)
	}
	p.giveBack(in)
	return nil, false, err
}

// use takes what a turn gave.
func (p *Pool) use(in *instance) (*instance, bool, error) {
	if in != nil {
		return in, false, nil
	}
	in, err := p.start(1)
	return in, true, err
}

// giveBack gives what a turn gave to the next.
func (p *Pool) giveBack(in *instance) {
	f := p.cfg.Fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if in == nil {
		p.uncount(startMemory)
		return
	}
	full := in.active == p.how.Concurrency
	in.active--
	switch {
	case in.retired: // meanwhile
		p.retire(in)
	case full:
		p.open = append(p.open, in)
	}
	f.serveWaiting()
}

// enqueue adds a caller at the end. The caller holds the fleet's lock.
func (p *Pool) enqueue() *waiter {
	w := &waiter{turn: make(chan *instance, 1), since: time.Now()}
	w.place = p.queue.PushBack(w)
	p.watchQueue()
	if p.queue.Len() == 1 {
		p.cfg.Fleet.waiting = append(p.cfg.Fleet.waiting, p)
	}
	return w
}

// leave takes a caller out of the queue; false if it has had its turn. The caller holds the fleet's lock.
func (p *Pool) leave(w *waiter) bool {
	if w.place == nil {
		return false
	}
	p.dequeue(w)
	return true
}

func (p *Pool) dequeue(w *waiter) {
	p.queue.Remove(w.place)
	w.place = nil
	if f := p.cfg.Fleet; p.queue.Len() == 0 {
		f.waiting = slices.DeleteFunc(f.waiting, func(q *Pool) bool { return q == p })
	}
}

// serveNext gives the first caller its turn, if there is an instance for it. The caller holds the fleet's
// lock.
func (p *Pool) serveNext() bool {
	if p.queue.Len() == 0 {
		return false
	}
	w := p.queue.Front().Value.(*waiter)
	in := p.pop()
	if in == nil {
		if !p.due(w.since) {
			return false
		}
		p.count()
	}
	p.dequeue(w)
	w.turn <- in
	p.keepWarm()
	p.watchQueue() // where all waited for room, nobody did
	return true
}

// noRoom says whose bound a caller met. The caller holds the fleet's lock.
func (p *Pool) noRoom(message string) error {
	if p.running >= p.cfg.Max {
		return &weir.Error{Code: weir.Busy, Message: message, Remedy: "try again, or shorten the function's work"}
	}
	return &weir.Error{Code: weir.Unavailable, Message: message + ", and the server has no room for another instance",
		Remedy: "try again, or raise --max-instances or --max-memory"}
}
