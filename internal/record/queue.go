package record

// Sinks that may be slow or gone: standard output, a webhook. They get copies from a bounded queue, so
// that no function ever waits for them; what finds no room is counted and told. The evidence is the file.

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// The bounds of a queue and of what is sent at once, in bytes.
const (
	maxQueued = 8 << 20
	maxBatch  = 256 << 10
)

// The times of a queue.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	closeTime  = 2 * time.Second  // for what is still queued when a sink is closed
	tellTime   = 10 * time.Second // between two lines of the log about records that are dropped
)

// Queued gives records, as JSON lines, to a sink that may be slow. It is safe for concurrent use.
type Queued struct {
	name   string // of the sink, for people
	send   func(ctx context.Context, batch []byte) error
	gather time.Duration // how long more records are waited for before a batch is sent
	retry  time.Duration // before the second try of a batch; then twice as long each time
	logger *slog.Logger
	agg    *aggregator
	ready  chan struct{} // there is something to send
	closed chan struct{}
	ctx    context.Context // of what is being sent
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	lines   []queuedLine
	bytes   int
	sending int       // records that are being sent
	lost    int       // records that no line tells of yet
	all     int       // records that were ever lost
	told    time.Time // when the log was last told
}

// queuedLine is a line and how many records it stands for.
type queuedLine struct {
	text    []byte
	records int
}

// refused is the error of a sink that will never take this batch.
type refused struct{ error }

func newQueued(name string, logger *slog.Logger, gather time.Duration, send func(context.Context, []byte) error) *Queued {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	q := &Queued{name: name, send: send, gather: gather, retry: firstRetry, logger: logger,
		ready: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{})}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	q.agg = newAggregator(func(d Decision) { q.put(encodeDecision(d)) })
	return q
}

// Decided queues a decision, or counts it if it repeats one of the last second.
func (q *Queued) Decided(d Decision) { q.agg.add(d) }

// Invoked queues an invocation.
func (q *Queued) Invoked(i Invocation) { q.put(appendInvocation(nil, i), nil) }

func (q *Queued) put(line []byte, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil || q.bytes+len(line) > maxQueued {
		q.lose(1)
		return
	}
	q.tellLost()
	q.push(line, 1)
}

// push queues a line. The caller holds the lock, as for the next two.
func (q *Queued) push(line []byte, records int) {
	q.lines = append(q.lines, queuedLine{line, records})
	q.bytes += len(line)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// lose counts records that are gone.
func (q *Queued) lose(records int) {
	q.lost += records
	q.all += records
	if now := time.Now(); now.Sub(q.told) >= tellTime {
		q.logger.Warn("records are being dropped", "sink", q.name, "count", q.all)
		q.told = now
	}
}

// tellLost queues a line that stands for what is gone.
func (q *Queued) tellLost() {
	if q.lost == 0 {
		return
	}
	line, err := encodeDropped(q.lost)
	if err != nil {
		return
	}
	q.push(line, q.lost)
	q.lost = 0
}

// take gives the next lines and how many records they stand for.
func (q *Queued) take() (batch []byte, records int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, l := range q.lines {
		if n > 0 && len(batch)+len(l.text) > maxBatch {
			break
		}
		batch = append(batch, l.text...)
		records += l.records
		n++
	}
	q.lines = q.lines[n:]
	q.bytes -= len(batch)
	q.sending = records
	return batch, records
}

// run sends until the sink is closed and the queue is empty, or time is up.
func (q *Queued) run() {
	defer close(q.done)
	for {
		batch, records := q.take()
		if len(batch) == 0 {
			select {
			case <-q.ready:
				q.more()
				continue
			case <-q.closed:
			}
			if batch, records = q.take(); len(batch) == 0 {
				return
			}
		}
		err := q.deliver(batch)
		q.mu.Lock()
		q.sending = 0
		if err != nil {
			q.lose(records)
		} else {
			q.tellLost()
		}
		q.mu.Unlock()
		if q.ctx.Err() != nil {
			return
		}
	}
}

// deliver sends a batch, again and again until it is taken, refused, or time is up.
func (q *Queued) deliver(batch []byte) error {
	for wait := q.retry; ; wait = min(2*wait, lastRetry) {
		err := q.send(q.ctx, batch)
		if err == nil || q.ctx.Err() != nil {
			return err
		}
		if _, final := err.(refused); final {
			q.logger.Error("records were refused", "sink", q.name, "error", err)
			return err
		}
		if wait == q.retry {
			q.logger.Warn("records can't be delivered yet; trying again", "sink", q.name, "error", err)
		}
		q.pause(wait + rand.N(wait/2+1))
	}
}

// more lets a batch grow, unless the sink is being closed.
func (q *Queued) more() {
	select {
	case <-time.After(q.gather):
	case <-q.closed:
	}
}

// pause waits before another try: when the sink is being closed, for a short time only.
func (q *Queued) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-q.closed:
		select {
		case <-time.After(min(d, q.retry)):
		case <-q.ctx.Done():
		}
	}
}

// Close sends what is queued, for a bounded time. Its error says how many records were not delivered.
func (q *Queued) Close() error {
	q.agg.close()
	close(q.closed)
	late := time.AfterFunc(closeTime, q.cancel)
	defer late.Stop()
	defer q.cancel()
	select {
	case <-q.done:
	case <-q.ctx.Done():
		select { // a sink that heeds nothing is left behind
		case <-q.done:
		case <-time.After(closeTime / 2):
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.lost + q.sending
	for _, l := range q.lines {
		n += l.records
	}
	if n > 0 {
		return fmt.Errorf("%d records were not delivered", n)
	}
	return nil
}
