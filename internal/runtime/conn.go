package runtime

// The supervisor's end of the channel. Its peer is a process full of hostile code that can write
// any bytes at any time: only frames that begin with the secret count, and of those only answers to
// the invocation in flight.

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path"
	"strings"
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
}

// Report is a file or program that the walls refused, a watched variable that was read, or compiled code
// that can't be used, as the shim saw it. It is advisory.
type Report struct {
	Kind   string `json:"kind"`   // "read", "write", "exec", "env" or "code"; of "code" the rest is empty
	Target string `json:"target"` // absolute path, or the variable's name; a program may be a bare name
	Errno  string `json:"errno"`  // such as "ENOENT"; not of "env"
	Call   string `json:"call"`   // "open", "scandir" and so on; of files only
}

// LoadRequest says which function to load and how its world looks.
type LoadRequest struct {
	Bundle  weir.Bundle
	Env     map[string]string // added to Lambda's own variables
	Watched []string          // variables of Env whose reading is reported; nil: none
	Limits  weir.Limits
	Node    Node
	Words   Words
	Code    []int // sizes of the parts of CodePath; nil: there is no such file
}

// Words is what the shim needs to put a refusal into words.
type Words struct {
	Mark      string           `json:"mark"`      // of HTTP responses that are refusals
	Intrinsic bool             `json:"intrinsic"` // rules are written in that language
	Files     map[string]Grant `json:"files"`     // of "read", "write" and "exec"
}

// Grant is what a policy has to say about one kind of file.
type Grant struct {
	Rules []string `json:"rules"` // canonical patterns: a path, or DIR/**
	Place string   `json:"place"` // where a new rule belongs
}

// LoadError is what the function's own code did wrong when it was loaded: it threw, has a syntax
// error or exports no handler.
type LoadError struct{ weir.FunctionError }

func (e *LoadError) Error() string { return e.FunctionError.Error() }

// Unwrap gives what was thrown.
func (e *LoadError) Unwrap() error { return &e.FunctionError }

// Refusal is what the shim is told about a connection that was reset or a DNS question that was refused,
// so that it can put the error into words. It is shown to people and decides nothing.
type Refusal struct {
	Port    uint16 `json:"port,omitempty"` // the process's end of the connection
	Type    uint16 `json:"type,omitempty"` // of the question (RFC 1035, section 3.2.2)
	Name    string `json:"name,omitempty"` // asked for
	Message string `json:"message"`        // all of it in one line
	Tried   string `json:"tried"`
	Nearest string `json:"nearest,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// Conn is the channel to one process. Load comes first and once; then Invoke, one at a time. It is
// read by whoever waits for an answer, and by nobody in between: no method may be called while
// another one runs, but for Close and Refused.
type Conn struct {
	conn   *net.UnixConn
	raw    syscall.RawConn
	send   sync.Mutex // held while a frame is written
	scan   scanner
	buf    []byte
	armed  time.Time // the read deadline that is set, zero if it has passed
	dirty  bool      // something but the shim wrote to the channel, or it has ended
	report func(Report)
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
	c := &Conn{conn: uc, raw: raw, buf: make([]byte, 64<<10), report: o.OnReport}
	c.scan.limit = loadLimit
	rand.Read(c.scan.secret[:])
	return c, nil
}

// Close ends the channel.
func (c *Conn) Close() { c.conn.Close() }

// Clean tells whether the process may be given another invocation: it is connected, and nothing
// but the shim has written to the channel. It takes what has arrived since the last answer, as long
// as that is little: a process that has much to say while it has nothing to do is not wanted.
func (c *Conn) Clean() bool {
	for reads := 0; !c.dirty; reads++ {
		if reads == maxStrayReads {
			c.dirty = true
			break
		}
		n, err := c.peek()
		if err == unix.EAGAIN {
			break
		}
		if err != nil || n <= 0 {
			c.dirty = true
			break
		}
		c.scan.feed(c.buf[:n])
		for f, ok := c.next(); ok; f, ok = c.next() {
			c.stray(f)
		}
	}
	return !c.dirty
}

// Load has the function's code imported. Errors: *LoadError if that fails; os.ErrDeadlineExceeded if
// it takes longer than it may; any other error means that the process is gone.
func (c *Conn) Load(l LoadRequest, deadline time.Time) error { return c.load(l, deadline, TaskRoot) }

// load is Load with the bundle at root, as the process sees it.
func (c *Conn) load(l LoadRequest, deadline time.Time, root string) error {
	memoryMB := l.Limits.Memory >> 20
	name := l.Bundle.Function
	handler := strings.TrimSuffix(l.Bundle.Entry, path.Ext(l.Bundle.Entry)) + "." + l.Bundle.Export
	env := environment(name, memoryMB, handler, l.Node.Major)
	maps.Copy(env, l.Env)
	body, err := json.Marshal(map[string]any{
		"root": root, "entry": l.Bundle.Entry, "export": l.Bundle.Export, "pack": l.Bundle.Pack, "code": l.Code, "env": env,
		"words": l.Words, "functionName": name, "memoryMB": memoryMB, "maxResult": maxPayload(l.Limits),
		"watched":       l.Watched,
		"logStreamName": time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + rand.Text(),
	})
	if err != nil {
		return err
	}
	f, err := c.roundTrip(deadline, inLoad, append(c.scan.secret[:], body...))
	if err != nil {
		return err
	}
	c.scan.limit = maxPayload(l.Limits)
	if f.kind == outLoaded {
		return nil
	}
	e := &LoadError{}
	if err := json.Unmarshal(f.payload, &e.FunctionError); err != nil || f.kind != outFailed {
		return errors.New("the runtime answered out of turn")
	}
	bound(&e.FunctionError)
	return e
}

// What is kept of an error, in bytes: it is shown to people and written to the log, and who gives it is
// hostile.
const (
	maxErrorType    = 256
	maxErrorMessage = 16 << 10
	maxErrorTrace   = 16 << 10 // all lines together
)

// bound cuts an error to what is kept of it.
func bound(e *weir.FunctionError) {
	e.Type, e.Message = weir.Cut(e.Type, maxErrorType), weir.Cut(e.Message, maxErrorMessage)
	left := maxErrorTrace
	for i, line := range e.Trace {
		e.Trace[i] = weir.Cut(line, left)
		if left -= len(e.Trace[i]) + 1; left <= 0 {
			e.Trace = e.Trace[:i+1]
			break
		}
	}
}

// maxPayload bounds what the handler may give, as JSON: JSON's escapes can double a body, and
// there are headers.
func maxPayload(l weir.Limits) int64 { return 2*l.Response + 256<<10 }

// meta is what the handler's context says about one invocation.
type meta struct {
	ID            string          `json:"id"`
	Deadline      int64           `json:"deadline"` // Unix time, ms
	ClientContext json.RawMessage `json:"clientContext,omitempty"`
	Identity      json.RawMessage `json:"identity,omitempty"`
}

// Invoke runs one invocation. Errors: weir.TooLarge if the result exceeds its limit;
// os.ErrDeadlineExceeded if it takes longer than it may; any other error means that the process is
// gone. After any but the first the process is in an unknown state and must be ended.
func (c *Conn) Invoke(inv weir.Invocation, deadline time.Time) (weir.Result, error) {
	meta, err := json.Marshal(meta{inv.ID, deadline.UnixMilli(), inv.ClientContext, inv.Identity})
	if err != nil {
		return weir.Result{}, err
	}
	payload := make([]byte, 0, 4+len(meta)+len(inv.Event))
	payload = binary.LittleEndian.AppendUint32(payload, uint32(len(meta)))
	payload = append(append(payload, meta...), inv.Event...)
	f, err := c.roundTrip(deadline, inInvoke, payload)
	if err != nil {
		return weir.Result{}, err
	}
	switch f.kind {
	case outResult:
		if !json.Valid(f.payload) {
			return weir.Result{}, errors.New("the answer is not JSON")
		}
		return weir.Result{Payload: f.payload}, nil
	case outError, outFatal:
		e := &weir.FunctionError{}
		if err := json.Unmarshal(f.payload, e); err != nil {
			return weir.Result{}, fmt.Errorf("the error is not JSON: %w", err)
		}
		bound(e)
		return weir.Result{Error: e}, nil
	case outTooLarge:
		return weir.Result{}, tooLarge(inv.Function)
	}
	return weir.Result{}, errors.New("the runtime answered out of turn")
}

func tooLarge(function string) error {
	return &weir.Error{Code: weir.TooLarge, Message: "what " + function + " answered is too large",
		Remedy: "answer less, or raise limits.response"}
}

// Refused tells the shim about a refusal, if there is room at once: a process that does not read holds
// nobody up, and misses some words. It may be called at any time and from several goroutines.
func (c *Conn) Refused(r Refusal) {
	payload, err := json.Marshal(r)
	if err != nil || !c.send.TryLock() { // a large event is on its way
		return
	}
	defer c.send.Unlock()
	b := request(inRefused, 0, payload)
	if n, err := c.offer(b); err == nil && n < len(b) {
		c.conn.Close() // half a frame would garble all that follow. (The kernel takes so short a one whole.)
	}
}

// peek reads what has arrived; if nothing has, the error is EAGAIN. (RawConn.Control, unlike Read,
// does not mind a deadline that has passed: see fetch.)
func (c *Conn) peek() (n int, err error) {
	if ctl := c.raw.Control(func(fd uintptr) {
		n, _, err = unix.Recvfrom(int(fd), c.buf, unix.MSG_DONTWAIT)
	}); ctl != nil {
		err = ctl
	}
	return n, err
}

// write sends a whole request. A process that does not read must not hold us, but nearly always
// there is room, and then no timer is needed.
func (c *Conn) write(b []byte, deadline time.Time) error {
	c.send.Lock()
	defer c.send.Unlock()
	n, err := c.offer(b)
	if err != nil && err != unix.EAGAIN {
		return err
	}
	if n == len(b) {
		return nil
	}
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err = c.conn.Write(b[n:])
	return err
}

// offer sends as much as there is room for; if there is none, the error is EAGAIN.
func (c *Conn) offer(b []byte) (n int, err error) {
	if ctl := c.raw.Control(func(fd uintptr) {
		n, err = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}); ctl != nil {
		err = ctl
	}
	return max(n, 0), err
}

// request is a frame to the process.
func request(kind byte, seq uint32, payload []byte) []byte {
	head := make([]byte, headLen, headLen+len(payload))
	head[0] = kind
	binary.LittleEndian.PutUint32(head[4:], seq)
	binary.LittleEndian.PutUint32(head[8:], uint32(len(payload)))
	return append(head, payload...)
}

// fetch reads what comes next. The deadline of the connection is moved only when it is reached, not
// for every request: a timer that is set wakes a thread, and costs more than all else here.
func (c *Conn) fetch(deadline time.Time) (int, error) {
	if waiting.Add(1) == 1 {
		if n, err := c.poll(); err != unix.EAGAIN {
			waiting.Add(-1)
			return n, err
		}
	}
	defer waiting.Add(-1)
	for {
		if c.armed.IsZero() || deadline.Before(c.armed) {
			c.armed = deadline
			if err := c.conn.SetReadDeadline(deadline); err != nil {
				return 0, err
			}
		}
		n, err := c.conn.Read(c.buf)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(deadline) {
			return n, err
		}
		c.armed = time.Time{}
	}
}

// maxStrayReads bounds what Clean takes, in reads of 64 KB at most.
const maxStrayReads = 4

// waiting counts who waits for an answer, in all of this process.
var waiting atomic.Int32

// pollTime is how long the only one who waits asks again and again. A short invocation is over by
// then, and to be put to sleep and woken up would cost as much as the invocation itself. Whoever
// waits beside others sleeps, as there is other work for the processor.
const pollTime = 60 * time.Microsecond

// poll reads what arrives within pollTime; else the error is EAGAIN.
func (c *Conn) poll() (int, error) {
	for start := time.Now(); time.Since(start) < pollTime; {
		n, err := c.peek()
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != unix.EAGAIN {
			return n, err
		}
	}
	return 0, unix.EAGAIN
}

// roundTrip sends one request and waits for its answer.
func (c *Conn) roundTrip(deadline time.Time, kind byte, payload []byte) (frame, error) {
	seq := randomSeq()
	if err := c.write(request(kind, seq, payload), deadline); err != nil {
		return frame{}, c.broken(err)
	}
	for {
		for f, ok := c.next(); ok; f, ok = c.next() {
			// The load request is answered without its number: the shim knows no other request then.
			if f.kind == outReport || f.seq != seq && !(kind == inLoad && f.seq == 0) {
				c.stray(f)
				continue
			}
			if f.kind == outFatal || f.err != nil {
				c.dirty = true // the process is about to end, or to be ended
			}
			return f, f.err
		}
		if c.scan.skipped > maxGarbage {
			return frame{}, c.broken(errors.New("the process writes garbage"))
		}
		n, err := c.fetch(deadline)
		if err != nil {
			return frame{}, c.broken(err)
		}
		c.scan.feed(c.buf[:n])
	}
}

// broken marks the channel as unusable and gives the error to report.
func (c *Conn) broken(err error) error {
	c.dirty = true
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return errors.New("the process ended")
	}
	return err
}

// next gives the next frame of what has been read, and notes bytes that belong to none.
func (c *Conn) next() (frame, bool) {
	f, ok := c.scan.next()
	if c.scan.skipped > 0 {
		c.dirty = true
	}
	return f, ok
}

// stray takes a frame that answers nothing: a report, or what spoils the channel.
func (c *Conn) stray(f frame) {
	var r Report
	if f.kind != outReport || f.err != nil || json.Unmarshal(f.payload, &r) != nil {
		c.dirty = true
		return
	}
	if c.report != nil {
		c.report(r)
	}
}

// randomSeq names one request so that its answer can't be made up beforehand. It is never 0.
func randomSeq() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint32(b[:]) | 1
}
