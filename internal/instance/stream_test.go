package instance

// Answers in pieces and what outlasts an answer, from the pool's point of view.

import (
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// streaming answers in pieces as the event says.
const streaming = `exports.__esModule = true;
exports.default = async (request, context) => {
  const how = new URL(request.url).pathname.slice(1);
  if (how === 'whole') return new Response('whole');
  if (how === 'later') { context.waitUntil(new Promise(() => { setInterval(() => {}, 1000); })); return new Response('answered'); }
  let n = 0;
  return new Response(new ReadableStream({ async pull(c) {
    if (n++ < 10) return c.enqueue(Buffer.alloc(60000, 'x')); // more than is on its way without a reader
    if (how === 'throw') throw new RangeError('half way');
    if (how === 'exit') process.exit(3);
    if (how === 'hang') await new Promise((r) => setTimeout(r, 1e6));
    if (how === 'flood') return c.enqueue(Buffer.alloc(60000));
    c.close();
  } }, { highWaterMark: 0 }));
};
`

// stream begins an invocation.
func stream(t *testing.T, p *Pool, how string) (weir.Result, Info, error) {
	t.Helper()
	return p.Invoke(t.Context(), weir.Invocation{ID: "r-" + how, Function: "f", Event: json.RawMessage(`{"rawUrl":"http://site.test/` + how + `"}`)})
}

// TestInstanceOfAStreamIsBusy: until it has ended, however it ends; and then it is used again unless it is spoilt.
func TestInstanceOfAStreamIsBusy(t *testing.T) {
	for how, c := range map[string]struct {
		ends   func(error) bool
		reused bool
	}{
		"end":   {func(err error) bool { return err == nil }, true},
		"close": {nil, true},
		"throw": {func(err error) bool {
			var e *weir.FunctionError
			return errors.As(err, &e) && e.Type == "RangeError" && weir.ErrorCode(err) == weir.Internal
		}, true},
		"exit":  {func(err error) bool { return weir.ErrorCode(err) == weir.Crashed }, false},
		"hang":  {func(err error) bool { return weir.ErrorCode(err) == weir.TimedOut }, false},
		"flood": {func(err error) bool { return weir.ErrorCode(err) == weir.TooLarge }, true},
	} {
		t.Run(how, func(t *testing.T) {
			p := newPool(t, 2, weir.Limits{Timeout: 3 * time.Second}, streaming)
			res, first, err := stream(t, p, how)
			if err != nil || res.Stream == nil {
				t.Fatalf("%+v %v", res, err)
			}
			if other, info, err := stream(t, p, "whole"); err != nil || other.Payload == nil || info.Instance == first.Instance {
				t.Errorf("beside the stream: %+v %v", info, err)
			}
			if c.ends != nil {
				if _, err := io.Copy(io.Discard, res.Stream.Body); !c.ends(err) {
					t.Errorf("it ended by %v", err)
				}
			}
			res.Stream.Body.Close()
			used := false
			for end := time.Now().Add(10 * time.Second); !used && time.Now().Before(end); {
				p.mu.Lock()
				idle := len(p.idle)
				if idle == 2 {
					used = true
				}
				p.mu.Unlock()
				if !c.reused && len(p.slots) == 1 {
					break
				}
			}
			if used != c.reused {
				t.Errorf("used again: %v", used)
			}
		})
	}
}

// TestInstanceIsBusyUntilAllIsDone: what waitUntil began is over, or its time: then the instance is ended, and
// never is it idle in between.
func TestInstanceIsBusyUntilAllIsDone(t *testing.T) {
	p := newPool(t, 1, weir.Limits{Timeout: time.Second}, streaming)
	res, first, err := stream(t, p, "later")
	if err != nil || res.Payload == nil {
		t.Fatalf("%+v %v", res, err)
	}
	for {
		p.mu.Lock()
		idle := len(p.idle)
		p.mu.Unlock()
		if idle != 0 {
			t.Fatal("the instance is idle though something goes on in it")
		}
		_, again, err := stream(t, p, "whole") // it waits until there is room
		if err == nil && again.Instance == first.Instance {
			t.Error("the instance was used again")
		}
		if weir.ErrorCode(err) != weir.Unavailable {
			break
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// TestCloseWaitsForStreams: what is being sent is sent to its end.
func TestCloseWaitsForStreams(t *testing.T) {
	p := newPool(t, 1, weir.Limits{}, streaming)
	res, _, err := stream(t, p, "end")
	if err != nil || res.Stream == nil {
		t.Fatalf("%+v %v", res, err)
	}
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	if b, err := io.ReadAll(res.Stream.Body); len(b) != 600_000 || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	<-closed
}
