package runtime

// The supervisor's end of the channel. Its peer is a process full of hostile code that can write
// any bytes at any time: only frames that begin with the secret count, and of those only answers to
// the invocations in flight. A frame that is none ends the process.

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// ConnOptions says what to do with what is not an answer.
type ConnOptions struct {
	OnReport func(Report) // takes the shim's reports, one at a time
	Busy     func() bool  // tells whether this program has more to do than to wait for an answer; nil: it never has
}

// Report is a file or program that the walls refused, a watched variable that was read, or compiled code
// that can't be used, as the shim saw it. It is advisory.
type Report struct {
	Kind   string `json:"kind"`   // "read", "write", "exec", "env" or "code"; of "code" the rest is empty
	Target string `json:"target"` // absolute path, or the variable's name; a program may be a bare name
	Errno  string `json:"errno"`  // such as "ENOENT"; not of "env"
	Call   string `json:"call"`   // "open", "scandir" and so on; of files only
}

// Conn is the channel to one process. Load comes first and once; then Invoke, any number at a time. It is
// read by one of those who wait for something, and by nobody in between. All methods but Load may be called
// from several goroutines.
type Conn struct {
	conn      *net.UnixConn
	raw       syscall.RawConn
	send      sync.Mutex // held while a frame is written
	report    func(Report)
	busy      func() bool
	grace     time.Duration // what a cancelled invocation may take to be over
	maxStream int64         // bytes of an answer in pieces
	dirty     atomic.Bool   // something but the shim wrote to the channel, or it has ended

	look atomic.Bool // who reads is to look whether there is something to wait for

	// Owned by who reads: reading is set, or mu is held.
	scan  scanner
	buf   []byte
	armed time.Time // the read deadline that is set, zero if it has passed

	mu      sync.Mutex
	calls   map[uint32]*call // in flight, by their sequence
	reading bool             // somebody reads, without holding mu
	err     error            // why nothing more can be read or written
}

// Dial takes the supervisor's end of the socket pair, which it then owns.
func Dial(f *os.File, o ConnOptions) (*Conn, error) {
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		nc.Close()
		return nil, errors.New("the channel is no unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		nc.Close()
		return nil, err
	}
	c := &Conn{conn: uc, raw: raw, buf: make([]byte, 64<<10), report: o.OnReport, busy: o.Busy,
		grace: cancelGrace, calls: map[uint32]*call{}}
	if c.busy == nil {
		c.busy = func() bool { return false }
	}
	c.scan.limit = loadLimit
	rand.Read(c.scan.secret[:])
	return c, nil
}

// Close ends the channel.
func (c *Conn) Close() { c.conn.Close() }

// Clean tells whether the process may be given another invocation: it is connected, and nothing
// but the shim has written to the channel. If nothing is in flight, it takes what has arrived since the last
// answer, as long as that is little: a process that has much to say while it has nothing to do is not wanted.
func (c *Conn) Clean() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for reads := 0; !c.dirty.Load() && len(c.calls) == 0; reads++ {
		n, err := c.peek()
		if err == unix.EAGAIN {
			break
		}
		if err != nil || n <= 0 || reads == maxStrayReads {
			c.dirty.Store(true)
			break
		}
		c.take(n)
	}
	return !c.dirty.Load()
}

// Spoilt tells whether the process must not be given another invocation, whatever it has in flight. It waits
// for nothing.
func (c *Conn) Spoilt() bool { return c.dirty.Load() }

// meta is what the handler's context says about one invocation.
type meta struct {
	ID            string          `json:"id"`
	Deadline      int64           `json:"deadline"` // Unix time, ms
	ClientContext json.RawMessage `json:"clientContext,omitempty"`
	Identity      json.RawMessage `json:"identity,omitempty"`
	Body          bool            `json:"body,omitempty"` // comes piece by piece
}

// Invoke runs one invocation. Over says that nothing of it goes on; if it is false, later is called once that
// is so: when the stream of the answer has ended, what outlasts the answer is done, or the deadline has passed.
// Errors: weir.TooLarge if the result exceeds its limit; os.ErrDeadlineExceeded if it takes longer than it may;
// ErrWentOn; any other error means that the process is gone. After any but the first the process is in an unknown
// state and must be ended, when its other invocations are over. The Stream fails with the same errors, and with what the function throws.
func (c *Conn) Invoke(inv weir.Invocation, deadline time.Time, later func()) (res weir.Result, over bool, err error) {
	meta, err := json.Marshal(meta{inv.ID, deadline.UnixMilli(), inv.ClientContext, inv.Identity, inv.Body != nil})
	if err != nil {
		return weir.Result{}, true, err
	}
	length := binary.LittleEndian.AppendUint32(nil, uint32(len(meta)))
	k := &call{conn: c, function: inv.Function, seq: randomSeq(), deadline: deadline, body: inv.Body, credit: window, window: window}
	f, err := c.first(k, request(inInvoke, k.seq, length, meta, inv.Event))
	if err != nil {
		return weir.Result{}, true, err
	}
	if res, err = k.result(f); err != nil && weir.ErrorCode(err) != weir.TooLarge {
		return weir.Result{}, true, c.fail(err)
	}
	c.mu.Lock()
	over = k.over
	c.mu.Unlock()
	if !over {
		go c.keep(k, later)
	}
	return res, over, err
}

// result makes a result of the first frame of an answer.
func (k *call) result(f frame) (weir.Result, error) {
	switch f.kind {
	case outError, outFatal:
		e, err := functionError(f)
		return weir.Result{Error: e}, err
	case outTooLarge:
		return weir.Result{}, tooLarge(k.function)
	}
	if !json.Valid(f.payload) {
		return weir.Result{}, errors.New("the answer is not JSON")
	}
	if f.kind == outHead {
		return weir.Result{Stream: &weir.Stream{Head: f.payload, Body: &stream{k}}}, nil
	}
	return weir.Result{Payload: f.payload}, nil
}

// functionError reads what the function threw.
func functionError(f frame) (*weir.FunctionError, error) {
	e := &weir.FunctionError{}
	if err := json.Unmarshal(f.payload, e); err != nil {
		return nil, fmt.Errorf("the error is not JSON: %w", err)
	}
	bound(e)
	return e, nil
}

func tooLarge(function string) error {
	return &weir.Error{Code: weir.TooLarge, Message: "what " + function + " answered is too large",
		Remedy: "answer less, or raise limits.response"}
}

// randomSeq names one invocation so that its answer can't be made up beforehand. It is never 0.
func randomSeq() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint32(b[:]) | 1
}
