package invoke

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// ending gives a piece of a body, then an error.
type ending struct {
	*bytes.Reader
	err error
}

func (e ending) Read(p []byte) (int, error) {
	if e.Len() == 0 {
		return 0, e.err
	}
	return e.Reader.Read(p)
}

func (ending) Close() error { return nil }

// TestStreamIsInFlightUntilItIsClosed: it is recorded then and not before, once, with how it ended; and so long
// the backend is not closed.
func TestStreamIsInFlightUntilItIsClosed(t *testing.T) {
	for name, c := range map[string]struct {
		end            error
		read           bool
		outcome, cause string
	}{
		"ok":        {io.EOF, true, "ok", ""},
		"cancelled": {io.EOF, false, "cancelled", ""},
		"thrown":    {&weir.FunctionError{Type: "RangeError"}, true, "error", "RangeError"},
		"timed out": {&weir.Error{Code: weir.TimedOut, Message: "slow"}, true, "timed_out", "slow"},
		"broken":    {errors.New("lost"), true, "internal", "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(func(context.Context, weir.Invocation) (weir.Result, InstanceInfo, error) {
				return weir.Result{Stream: &weir.Stream{Body: ending{bytes.NewReader([]byte("piece")), c.end}}}, InstanceInfo{}, nil
			})
			records := &record.Memory{}
			d := NewDispatcher(records)
			d.Swap(map[string]Backend{"fn": b}, func() {})
			res, err := d.Invoke(t.Context(), weir.Invocation{Function: "fn"})
			if err != nil {
				t.Fatal(err)
			}
			d.Swap(nil, func() {})
			if c.read {
				io.ReadAll(res.Stream.Body)
			}
			select {
			case <-b.closed:
				t.Error("the backend was closed under the stream")
			default:
			}
			if got := records.Invocations(); len(got) != 0 {
				t.Errorf("recorded too early: %+v", got)
			}
			res.Stream.Body.Close()
			res.Stream.Body.Close()
			d.Close()
			<-b.closed
			if got := records.Invocations(); len(got) != 1 || got[0].Outcome != c.outcome || got[0].Error != c.cause {
				t.Errorf("recorded %+v", got)
			}
		})
	}
}
