package runtime

// The supervisor's end of the channel. Its peer is a process full of hostile code that can write
// any bytes at any time: only frames that begin with the secret count, and of those only answers to
// the invocation in flight.

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// ConnOptions says what to do with what is not an answer.
type ConnOptions struct {
	OnReport func(Report) // takes the shim's reports, one at a time
}

// Report is a file or program that the walls refused, as the shim saw it. It is advisory.
type Report struct {
	Kind   string `json:"kind"`   // "read", "write" or "exec"
	Target string `json:"target"` // absolute path; a program may be a bare name
	Errno  string `json:"errno"`  // such as "ENOENT"
}

// LoadRequest says which function to load and how its world looks.
type LoadRequest struct {
	Bundle weir.Bundle
	Env    map[string]string // added to Lambda's own variables
	Limits weir.Limits
	Node   Node
}

// LoadError is what the function's own code did wrong when it was loaded: it threw, has a syntax
// error or exports no handler.
type LoadError struct{ weir.FunctionError }

func (e *LoadError) Error() string { return e.Type + ": " + e.Message }

// Conn is the channel to one process. Load comes first and once; then Invoke, one at a time.
type Conn struct {
	conn   net.Conn
	secret [secretLen]byte
	answer chan frame    // answers to the request in flight
	ended  chan struct{} // closed when nothing more can be read
	seq    atomic.Uint32 // of the request in flight, 0 if none is
	limit  atomic.Int64  // bytes of a payload
	dirty  atomic.Bool
	report func(Report)
}

// Dial takes the supervisor's end of the socket pair, which it then owns.
func Dial(f *os.File, o ConnOptions) (*Conn, error) {
	c := &Conn{answer: make(chan frame, 1), ended: make(chan struct{}), report: o.OnReport}
	defer f.Close()
	var err error
	if c.conn, err = net.FileConn(f); err != nil {
		return nil, err
	}
	if _, err := rand.Read(c.secret[:]); err != nil {
		return nil, err
	}
	c.limit.Store(loadLimit)
	go c.read()
	return c, nil
}

// Close ends the channel.
func (c *Conn) Close() { c.conn.Close() }

// Clean tells whether the process may be given another invocation: it is connected, and nothing
// but the shim has written to the channel.
func (c *Conn) Clean() bool {
	select {
	case <-c.ended:
		return false
	default:
		return !c.dirty.Load()
	}
}

// Load has the function's code imported. Errors: *LoadError if that fails; ctx's if it takes too
// long; any other error means that the process is gone.
func (c *Conn) Load(ctx context.Context, l LoadRequest) error { return c.load(ctx, l, TaskRoot) }

// load is Load with the bundle at root, as the process sees it.
func (c *Conn) load(ctx context.Context, l LoadRequest, root string) error {
	memoryMB := l.Limits.Memory >> 20
	name := l.Bundle.Function
	handler := strings.TrimSuffix(l.Bundle.Entry, path.Ext(l.Bundle.Entry)) + "." + l.Bundle.Export
	env := environment(name, memoryMB, handler, l.Node.Major)
	maps.Copy(env, l.Env)
	body, err := json.Marshal(map[string]any{
		"root": root, "entry": l.Bundle.Entry, "export": l.Bundle.Export, "env": env,
		"functionName": name, "memoryMB": memoryMB, "maxResult": maxPayload(l.Limits),
		"logStreamName": time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + rand.Text(),
	})
	if err != nil {
		return err
	}
	f, err := c.roundTrip(ctx, inLoad, append(c.secret[:], body...))
	if err != nil {
		return err
	}
	c.limit.Store(maxPayload(l.Limits))
	if f.kind == outLoaded {
		return nil
	}
	e := &LoadError{}
	if err := json.Unmarshal(f.payload, &e.FunctionError); err != nil || f.kind != outFailed {
		return errors.New("the runtime answered out of turn")
	}
	return e
}

// maxPayload bounds what the handler may give, as JSON: JSON's escapes can double a body, and
// there are headers.
func maxPayload(l weir.Limits) int64 { return 2*l.Response + 256<<10 }

// Invoke runs one invocation. Errors: weir.TooLarge if the result exceeds its limit; ctx's if it
// takes too long; any other error means that the process is gone. After ctx's error or any other
// the process is in an unknown state and must be ended.
func (c *Conn) Invoke(ctx context.Context, inv weir.Invocation, deadline time.Time) (weir.Result, error) {
	meta, err := json.Marshal(map[string]any{"id": inv.ID, "deadline": deadline.UnixMilli(),
		"clientContext": inv.ClientContext, "identity": inv.Identity})
	if err != nil {
		return weir.Result{}, err
	}
	payload := make([]byte, 0, 4+len(meta)+len(inv.Event))
	payload = binary.LittleEndian.AppendUint32(payload, uint32(len(meta)))
	payload = append(append(payload, meta...), inv.Event...)
	f, err := c.roundTrip(ctx, inInvoke, payload)
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

// roundTrip sends one request and waits for its answer.
func (c *Conn) roundTrip(ctx context.Context, kind byte, payload []byte) (frame, error) {
	seq := randomSeq()
	c.seq.Store(seq)
	defer c.seq.Store(0)
	head := make([]byte, headLen, headLen+len(payload))
	head[0] = kind
	binary.LittleEndian.PutUint32(head[4:], seq)
	binary.LittleEndian.PutUint32(head[8:], uint32(len(payload)))
	if d, ok := ctx.Deadline(); ok {
		c.conn.SetWriteDeadline(d) // a process that does not read must not hold us
	}
	if _, err := c.conn.Write(append(head, payload...)); err != nil {
		return frame{}, err
	}
	select {
	case f := <-c.answer:
		return f, f.err
	case <-ctx.Done():
		return frame{}, ctx.Err()
	case <-c.ended:
		select {
		case f := <-c.answer: // it answered, then ended
			return f, f.err
		default:
			return frame{}, errors.New("the process ended")
		}
	}
}

// randomSeq names one request so that its answer can't be made up beforehand. It is never 0.
func randomSeq() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint32(b[:]) | 1
}
