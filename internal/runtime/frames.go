package runtime

// Reading frames from a peer that may write anything. See shim/channel.cjs for their layout.

import (
	"bytes"
	"encoding/binary"
)

const (
	secretLen = 16
	headLen   = 12
	loadLimit = 1 << 20 // bytes of an answer to the load request

	inLoad    = 1
	inInvoke  = 2
	inRefused = 3
	inBody    = 4
	inBodyEnd = 5
	inCredit  = 6
	inCancel  = 7

	outLoaded   = 1
	outFailed   = 2
	outResult   = 3
	outError    = 4
	outFatal    = 5
	outReport   = 6
	outTooLarge = 7
	outHead     = 8
	outChunk    = 9
	outEnd      = 10
	outCredit   = 11
	outSettled  = 12

	// window is how many bytes of a body may be on their way in one direction of one invocation.
	window = 256 << 10

	maxReport  = 64 << 10  // bytes of a report
	maxCredit  = 16        // bytes of a credit: a number
	maxGarbage = 1 << 20   // bytes that are no frames, after which the process is given up
	keptBuffer = 256 << 10 // bytes: a buffer that one large answer made longer is not kept
)

type frame struct {
	kind    byte
	last    bool // nothing of the invocation goes on
	seq     uint32
	payload []byte
	err     error // instead of a payload: the frame can't be taken
}

// scanner finds frames in a stream that others write into as well.
type scanner struct {
	secret  [secretLen]byte
	limit   int64  // bytes of a whole answer, or of the head of one in pieces
	buf     []byte // what has been read
	off     int    // how much of it is done with
	skipped int    // bytes that belong to no frame
	drop    int64  // bytes to come of a frame over the limit
}

func (s *scanner) feed(b []byte) {
	n := min(s.drop, int64(len(b)))
	s.drop -= n
	if s.off == len(s.buf) && cap(s.buf) > keptBuffer {
		s.buf, s.off = nil, 0
	}
	s.buf = append(s.buf[:copy(s.buf, s.buf[s.off:])], b[n:]...)
	s.off = 0
}

// next gives the next whole frame. A frame over the limit is given at once with an error, and its
// payload is dropped as it arrives.
func (s *scanner) next() (frame, bool) {
	s.sync()
	buf := s.buf[s.off:]
	if len(buf) < secretLen+headLen {
		return frame{}, false
	}
	head, rest := buf[secretLen:secretLen+headLen], buf[secretLen+headLen:]
	f := frame{kind: head[0], last: head[1] == 1, seq: binary.LittleEndian.Uint32(head[4:])}
	length := int64(binary.LittleEndian.Uint32(head[8:]))
	switch {
	case length > s.limitOf(f.kind):
		f.err = tooLarge("the function")
		have := min(length, int64(len(rest)))
		s.drop = length - have
		s.off += secretLen + headLen + int(have)
		return f, true
	case int64(len(rest)) < length:
		return frame{}, false
	}
	f.payload = bytes.Clone(rest[:length])
	s.off += secretLen + headLen + int(length)
	return f, true
}

// limitOf gives how many bytes the payload of a frame may have.
func (s *scanner) limitOf(kind byte) int64 {
	switch kind {
	case outReport:
		return maxReport
	case outChunk:
		return window
	case outCredit:
		return maxCredit
	case outEnd, outSettled:
		return 0
	}
	return s.limit
}

// sync skips what does not begin with the secret, as soon as that is known.
func (s *scanner) sync() {
	for s.off < len(s.buf) {
		buf := s.buf[s.off:]
		n := min(len(buf), secretLen)
		if bytes.Equal(buf[:n], s.secret[:n]) {
			return
		}
		skip := bytes.IndexByte(buf[1:], s.secret[0]) + 1
		if skip == 0 {
			skip = len(buf)
		}
		s.skipped += skip
		s.off += skip
	}
}
