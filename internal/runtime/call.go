package runtime

// Several invocations on one channel. Whoever waits for something reads for all the others, too, and hands
// over to one of them when it has what it waited for: an invocation that is alone costs no other goroutine.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// ErrEnded says that the process has ended, or closed its end of the channel.
var ErrEnded = errors.New("the process ended")

// ErrWentOn says that a cancelled invocation went on for longer than it may. Others of its process may come to their
// end; it gets no more.
var ErrWentOn = errors.New("the function went on with a cancelled invocation")

// cancelGrace is what a function may take to end what nobody waits for any more.
const cancelGrace = 5 * time.Second

// call is what one invocation waits for.
type call struct {
	conn     *Conn
	function string
	seq      uint32
	deadline time.Time
	loading  bool      // it is the load request
	body     io.Reader // of the request, or nil

	// The rest is guarded by conn.mu.
	answer    *frame           // what came first: all of the answer, or its head
	ended     bool             // the answer is complete
	over      bool             // nothing of the invocation goes on
	cancelled bool             // nobody waits for the answer any more
	grace     *time.Timer      // gives the call up if that is not heeded
	givenUp   bool             // it was not
	wake      chan struct{}    // not nil while who waits for the call does not read
	done      func(*call) bool // what it waits for then

	credit int           // bytes of the request's body that may be sent
	more   chan struct{} // tells of credit; not nil while somebody waits for it

	pieces  bytes.Buffer  // of the answer, not yet taken
	total   int64         // bytes of all pieces
	window  int           // bytes that the process may still send
	owed    int           // bytes that were taken and not yet granted again
	failure error         // how an answer in pieces ends, io.EOF included; nil: it goes on
	arrived chan struct{} // tells of pieces and of the end; not nil while somebody waits for it
}

// tell wakes who waits on a channel, if somebody does.
func tell(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}

// first sends the request of a call and waits for the first frame of its answer.
func (c *Conn) first(k *call, request []byte) (frame, error) {
	c.mu.Lock()
	c.calls[k.seq] = k
	c.mu.Unlock()
	if err := c.write(request, k.deadline); err != nil {
		return frame{}, c.fail(err)
	}
	if k.body != nil {
		go c.sendBody(k)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.await(k, (*call).answered); err != nil {
		return frame{}, err
	}
	if k.answer == nil {
		return frame{}, ErrWentOn
	}
	return *k.answer, k.answer.err
}

func (k *call) answered() bool { return k.answer != nil || k.givenUp }

// settled is true, too, when an answer in pieces has become too long.
func (k *call) settled() bool { return k.over || k.givenUp || k.tooLong() }

func (k *call) tooLong() bool { return !k.cancelled && weir.ErrorCode(k.failure) == weir.TooLarge }

// keep waits until a call that was answered is over.
func (c *Conn) keep(k *call, later func()) {
	c.mu.Lock()
	err := c.await(k, (*call).settled)
	for err == nil && !k.over && !k.givenUp {
		c.mu.Unlock()
		c.cancel(k)
		c.mu.Lock()
		err = c.await(k, (*call).settled)
	}
	if err != nil {
		k.fail(err)
	}
	c.mu.Unlock()
	later()
}

// await returns when done says so, or with an error. c.mu is held before and after.
func (c *Conn) await(k *call, done func(*call) bool) error {
	defer c.handOver()
	for !done(k) {
		switch {
		case c.err != nil:
			return c.err
		case c.reading:
			if !c.park(k, done) {
				c.dirty.Store(true)
				return os.ErrDeadlineExceeded
			}
		default:
			if err := c.read(k); err != nil {
				c.dirty.Store(true)
				return err
			}
		}
	}
	return nil
}

// read takes what comes next, for whatever call it is. The error is that of k alone if it is
// os.ErrDeadlineExceeded.
func (c *Conn) read(k *call) error {
	hurry := k.answer == nil
	c.reading = true
	c.mu.Unlock()
	n, err := c.fetch(k.deadline, hurry)
	c.mu.Lock()
	c.reading = false
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if err != nil {
		return c.broken(err)
	}
	c.take(n)
	return nil
}

// park waits until there may be something for k, or nobody reads any more; false: the deadline has passed.
func (c *Conn) park(k *call, done func(*call) bool) bool {
	wake := make(chan struct{})
	k.wake, k.done = wake, done
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		k.wake = nil
	}()
	deadline := time.NewTimer(time.Until(k.deadline))
	defer deadline.Stop()
	select {
	case <-wake:
		return true
	case <-deadline.C:
		return false
	}
}

// handOver lets somebody else read, if somebody waits and nobody does.
func (c *Conn) handOver() {
	if c.reading {
		return
	}
	for _, k := range c.calls {
		if k.wake != nil {
			tell(&k.wake)
			return
		}
	}
}

// take goes through n bytes that were read.
func (c *Conn) take(n int) {
	c.scan.feed(c.buf[:n])
	for f, ok := c.scan.next(); ok && c.err == nil; f, ok = c.scan.next() {
		if f.kind == outReport {
			c.reported(f)
			continue
		}
		k := c.calls[f.seq]
		if k == nil {
			c.broken(errors.New("the process answered what it was not asked"))
			return
		}
		if err := k.take(f); err != nil {
			c.broken(err)
			return
		}
		if k.wake != nil && k.done(k) {
			tell(&k.wake)
		}
	}
	if c.scan.skipped > 0 {
		c.dirty.Store(true)
	}
	if c.scan.skipped > maxGarbage {
		c.broken(errors.New("the process writes garbage"))
	}
}

// take takes a frame of the call. An error means that the process breaks the protocol.
func (k *call) take(f frame) error {
	begun := k.answer != nil
	switch {
	case k.loading != (f.kind == outLoaded || f.kind == outFailed):
		return errors.New("the process answered out of turn")
	case f.kind == outCredit:
		return k.credited(f)
	case f.kind == outSettled:
		if !k.ended || !f.last {
			return errors.New("the process said that an invocation was over before it was")
		}
	case k.ended:
		return errors.New("the process answered twice")
	case f.kind == outHead || f.kind == outResult || f.kind == outTooLarge || k.loading:
		if begun {
			return errors.New("the process began an answer twice")
		}
		k.answer, k.ended = &f, f.kind != outHead || f.err != nil
	case f.kind == outError || f.kind == outFatal:
		if err := k.thrown(f); err != nil {
			return err
		}
	case f.kind == outChunk && begun:
		return k.piece(f)
	case f.kind == outEnd && begun:
		k.ended = true
		k.fail(io.EOF)
	default:
		return fmt.Errorf("the process sent a frame of type %d out of turn", f.kind)
	}
	if f.err != nil || f.kind == outFatal {
		k.conn.dirty.Store(true) // the process is about to end, or to be ended
	}
	if f.last || f.err != nil || k.loading {
		return k.finish()
	}
	tell(&k.more) // of the request's body no more is sent
	return nil
}

// thrown takes the error that is the answer, or ends it.
func (k *call) thrown(f frame) error {
	k.ended = true
	if k.answer == nil {
		k.answer = &f
		return nil
	}
	if f.err != nil { // it is too large
		k.fail(f.err)
		return nil
	}
	e, err := functionError(f)
	if err != nil {
		return err
	}
	k.fail(e)
	return nil
}

// piece takes a piece of the answer.
func (k *call) piece(f frame) error {
	n := len(f.payload)
	switch {
	case f.err != nil || f.last || n == 0 || n > k.window:
		return errors.New("the process sent a piece that it may not send")
	case k.cancelled || k.failure != nil:
		return nil
	}
	k.window -= n
	if k.total += int64(n); k.total > k.conn.maxStream {
		k.fail(tooLarge(k.function))
		return nil
	}
	k.pieces.Write(f.payload)
	tell(&k.arrived)
	return nil
}

// credited takes the word that more of the request's body may be sent.
func (k *call) credited(f frame) error {
	var n int
	if f.err != nil || json.Unmarshal(f.payload, &n) != nil || n <= 0 || n > window-k.credit {
		return errors.New("the process granted what it can't")
	}
	k.credit += n
	tell(&k.more)
	return nil
}

// finish takes a call that is over off the channel.
func (k *call) finish() error {
	if !k.ended {
		return errors.New("the process said that an invocation was over before it was")
	}
	k.over = true
	delete(k.conn.calls, k.seq)
	if k.grace != nil {
		k.grace.Stop()
	}
	tell(&k.more)
	return nil
}

// fail says how an answer in pieces ends.
func (k *call) fail(err error) {
	if k.failure == nil {
		k.failure = err
	}
	tell(&k.arrived)
}

// cancel tells the process that nobody waits for an answer any more.
func (c *Conn) cancel(k *call) {
	c.mu.Lock()
	if k.over || k.cancelled || c.err != nil {
		c.mu.Unlock()
		return
	}
	k.cancelled = true
	k.pieces.Reset()
	k.grace = time.AfterFunc(c.grace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.giveUp(k)
	})
	c.mu.Unlock()
	_ = c.follow(k, inCancel, nil) // who waits learns of it
}

// giveUp waits for a cancelled call no longer. What still comes of it is taken, and means nothing. The caller holds
// c.mu.
func (c *Conn) giveUp(k *call) {
	if k.over {
		return
	}
	k.givenUp = true
	c.dirty.Store(true)
	k.fail(ErrWentOn)
	tell(&k.wake)
	c.look.Store(true)
	_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // it may be who reads
}

// fail is broken for who does not hold c.mu.
func (c *Conn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken(err)
}

// broken gives the channel up, wakes all who wait for something, and gives the error to report.
func (c *Conn) broken(err error) error {
	if c.err != nil {
		return c.err
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET), errors.Is(err, net.ErrClosed):
		err = ErrEnded
	}
	c.err = err
	c.dirty.Store(true)
	c.conn.Close() // who reads returns, too
	for _, k := range c.calls {
		tell(&k.wake)
		tell(&k.more)
	}
	return err
}

// reported takes a report of the shim.
func (c *Conn) reported(f frame) {
	var r Report
	if f.err != nil || json.Unmarshal(f.payload, &r) != nil {
		c.dirty.Store(true)
		return
	}
	if c.report != nil {
		c.report(r)
	}
}
