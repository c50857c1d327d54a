package instance

// Answers in pieces and what outlasts an answer, from the pool's point of view.

import (
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
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

// standing counts the instances that have room for an invocation, and those that there are.
func standing(p *Pool) (idle, running int) {
	p.cfg.Fleet.mu.Lock()
	defer p.cfg.Fleet.mu.Unlock()
	return len(p.open), p.running
}

// TestInstanceOfAStreamIsBusy: until it has ended, however it ends; and then it is used again unless it is spoilt.
func TestInstanceOfAStreamIsBusy(t *testing.T) {
	t.Parallel()
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
			limits := weir.Limits{Timeout: time.Minute} // a busy machine takes its time
			if how == "hang" {
				limits.Timeout = 3 * time.Second
			}
			p := newPool(t, 2, limits, streaming)
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
				idle, running := standing(p)
				used = idle == 2
				if !c.reused && running == 1 {
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
	t.Parallel()
	p := newPool(t, 1, weir.Limits{Timeout: time.Second}, streaming)
	res, first, err := stream(t, p, "later")
	if err != nil || res.Payload == nil {
		t.Fatalf("%+v %v", res, err)
	}
	for {
		if idle, _ := standing(p); idle != 0 {
			t.Fatal("the instance is idle though something goes on in it")
		}
		_, again, err := stream(t, p, "whole") // it waits until there is room
		if err == nil && again.Instance == first.Instance {
			t.Error("the instance was used again")
		}
		if weir.ErrorCode(err) != weir.Busy {
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

// TestOthersOutliveASpoiltInvocation: an instance in which one ran over its time takes no more, and the others that
// it has come to their end before it does.
func TestOthersOutliveASpoiltInvocation(t *testing.T) {
	t.Parallel()
	const both = `exports.__esModule = true;
exports.default = async (request) => new URL(request.url).pathname === '/echo' ? new Response(request.body) :
  new Response(new ReadableStream({ start(c) { setInterval(() => c.enqueue(Buffer.from('x')), 50); } }));
`
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f", Limits: weir.Limits{Timeout: 4 * time.Second}, Running: weir.Running{Concurrency: 3}}, both, nil)
	endless, first, err := stream(t, p, "endless")
	if err != nil {
		t.Fatal(err)
	}
	defer endless.Stream.Body.Close()
	if _, err := io.ReadFull(endless.Stream.Body, make([]byte, 40)); err != nil { // two seconds: the other's time ends later
		t.Fatal(err)
	}
	body, more := io.Pipe()
	other, second, err := p.Invoke(t.Context(), weir.Invocation{ID: "r", Function: "f", Body: body,
		Event: json.RawMessage(`{"rawUrl":"http://site.test/echo","httpMethod":"POST","headers":{}}`)})
	if err != nil || first.Instance != second.Instance {
		t.Fatalf("%+v, then %+v %v", first, second, err)
	}
	defer other.Stream.Body.Close()
	if _, err := io.Copy(io.Discard, endless.Stream.Body); weir.ErrorCode(err) != weir.TimedOut {
		t.Errorf("it ended by %v", err)
	}
	w.until("it takes no more", func() bool { return len(p.open) == 0 && len(p.all) == 1 })
	go func() { io.WriteString(more, "still here"); more.Close() }()
	if got, err := io.ReadAll(other.Stream.Body); err != nil || string(got) != "still here" {
		t.Errorf("the other one: %q %v", got, err)
	}
	w.until("it has ended", func() bool { return p.running == 0 })
}
