package runtime

// Bodies that come piece by piece, in both directions. Neither end sends more than the other has granted:
// who does not read holds up nobody else, and nothing grows.

import (
	"encoding/binary"
	"errors"
	"io"
	"time"
)

const (
	maxStream = 20 << 20 // bytes of an answer in pieces, as on Netlify, unless limits.response is larger
	// grantEvery is how much of the window is taken before it is granted again: not every Read costs a frame.
	grantEvery = window / 4
	bodyPiece  = 32 << 10 // bytes of a request's body in one frame
)

// ErrClosed is what a Read of an answer in pieces gives after its Close.
var ErrClosed = errors.New("the answer was closed")

// stream is the body of an answer in pieces.
type stream struct{ k *call }

// Read gives what has come, and waits if nothing has.
func (s *stream) Read(p []byte) (int, error) {
	k, c := s.k, s.k.conn
	if len(p) == 0 {
		return 0, nil
	}
	c.mu.Lock()
	for k.pieces.Len() == 0 {
		if k.failure != nil {
			defer c.mu.Unlock()
			return 0, k.failure
		}
		arrived := make(chan struct{})
		k.arrived = arrived
		c.mu.Unlock()
		<-arrived
		c.mu.Lock()
	}
	n, _ := k.pieces.Read(p)
	k.owed += n
	grant := 0
	if k.owed >= grantEvery && !k.ended {
		grant, k.owed = k.owed, 0
		k.window += grant
	}
	c.mu.Unlock()
	if grant > 0 {
		_ = c.follow(k, inCredit, binary.LittleEndian.AppendUint32(nil, uint32(grant))) // who waits learns of it
	}
	return n, nil
}

// Close cancels the invocation if the answer has not ended.
func (s *stream) Close() error {
	k, c := s.k, s.k.conn
	c.mu.Lock()
	ended := k.ended
	k.pieces.Reset()
	k.fail(ErrClosed)
	c.mu.Unlock()
	if !ended {
		c.cancel(k)
	}
	return nil
}

// sendBody sends the body of a request as far as it is wanted, until the answer is complete. If the body
// fails, the client is gone, and with it who waits for the answer.
func (c *Conn) sendBody(k *call) {
	buf := make([]byte, bodyPiece)
	for n := c.wanted(k); n > 0; n = c.wanted(k) {
		n, err := k.body.Read(buf[:min(n, len(buf))])
		if n > 0 && c.sendPiece(k, inBody, buf[:n]) != nil {
			return
		}
		switch {
		case err == io.EOF:
			c.sendPiece(k, inBodyEnd, nil)
			return
		case err != nil:
			c.cancel(k)
			return
		}
	}
}

func (c *Conn) sendPiece(k *call, kind byte, b []byte) error {
	c.mu.Lock()
	k.credit -= len(b)
	over := k.over
	c.mu.Unlock()
	if over {
		return ErrClosed
	}
	return c.follow(k, kind, b)
}

// wanted waits until more of the request's body may be sent, and says how much; 0: no more of it.
func (c *Conn) wanted(k *call) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k.credit == 0 && !k.ended && c.err == nil && !k.cancelled {
		more := make(chan struct{})
		k.more = more
		c.mu.Unlock()
		select {
		case <-more:
		case <-time.After(time.Until(k.deadline)):
			c.mu.Lock()
			return 0
		}
		c.mu.Lock()
	}
	if k.ended || c.err != nil || k.cancelled || !time.Now().Before(k.deadline) {
		return 0
	}
	return k.credit
}
