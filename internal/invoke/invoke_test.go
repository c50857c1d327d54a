package invoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// backend runs a Go function. It tells of its Close, and of calls that come after it.
type backend struct {
	run    func(context.Context, weir.Invocation) (weir.Result, InstanceInfo, error)
	limits weir.Limits
	closed chan struct{}
	flying atomic.Int32
	late   atomic.Bool // used while or after it was closed
}

func newBackend(run func(context.Context, weir.Invocation) (weir.Result, InstanceInfo, error)) *backend {
	return &backend{run: run, closed: make(chan struct{})}
}

func (b *backend) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, InstanceInfo, error) {
	b.flying.Add(1)
	defer b.flying.Add(-1)
	select {
	case <-b.closed:
		b.late.Store(true)
	default:
	}
	return b.run(ctx, inv)
}

func (b *backend) Limits() weir.Limits { return b.limits }

func (b *backend) Close() {
	if b.flying.Load() > 0 {
		b.late.Store(true)
	}
	close(b.closed) // a second Close panics
}

// giving is a backend that always gives the same.
func giving(payload string) *backend {
	return newBackend(func(context.Context, weir.Invocation) (weir.Result, InstanceInfo, error) {
		return weir.Result{Payload: json.RawMessage(payload)}, InstanceInfo{ID: "i1"}, nil
	})
}

func TestUnknownNameAndSuggestion(t *testing.T) {
	d := NewDispatcher(&record.Memory{})
	defer d.Close()
	d.Swap(map[string]Backend{"hello": giving("1"), "stripe-webhook": giving("1"), "a": giving("1")}, func() {})
	for name, remedy := range map[string]string{
		"helo": "did you mean hello?", "helloo": "did you mean hello?", "hallo": "did you mean hello?", "ehllo": "did you mean hello?",
		"ello": "did you mean hello?", "stripe_webhook": "did you mean stripe-webhook?", "stripe-webhooks": "did you mean stripe-webhook?",
		"": "did you mean a?", "b": "did you mean a?", "Hello": "did you mean hello?",
		"other": "", "hlelo2": "", "HELLO": "", "olleh": "",
	} {
		_, err := d.Invoke(t.Context(), weir.Invocation{Function: name})
		var e *weir.Error
		if !errors.As(err, &e) || e.Code != weir.NotFound || e.Remedy != remedy || e.Message != "there is no function "+name {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := d.Lookup(name); weir.ErrorCode(err) != weir.NotFound {
			t.Errorf("lookup of %q: %v", name, err)
		}
	}
}

func TestLookupGivesLimits(t *testing.T) {
	b := giving("1")
	b.limits = weir.Limits{Memory: 7}
	d := NewDispatcher(&record.Memory{})
	defer d.Close()
	d.Swap(map[string]Backend{"fn": b}, func() {})
	if l, err := d.Lookup("fn"); err != nil || l.Memory != 7 {
		t.Errorf("%+v %v", l, err)
	}
}

// TestOldBackendServesUntilItsLastInvocation holds two invocations in flight across a swap.
func TestOldBackendServesUntilItsLastInvocation(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	old := newBackend(func(context.Context, weir.Invocation) (weir.Result, InstanceInfo, error) {
		started <- struct{}{}
		<-release
		return weir.Result{Payload: json.RawMessage(`"old"`)}, InstanceInfo{}, nil
	})
	d := NewDispatcher(&record.Memory{})
	d.Swap(map[string]Backend{"fn": old}, func() {})
	results := make(chan string)
	for range 2 {
		go func() {
			res, err := d.Invoke(context.Background(), weir.Invocation{Function: "fn"})
			results <- fmt.Sprintf("%s %v", res.Payload, err)
		}()
		<-started
	}
	after := make(chan struct{})
	d.Swap(map[string]Backend{"fn": giving(`"new"`)}, func() { close(after) })
	if res, err := d.Invoke(t.Context(), weir.Invocation{Function: "fn"}); err != nil || string(res.Payload) != `"new"` {
		t.Errorf("after the swap: %s %v", res.Payload, err)
	}
	release <- struct{}{}
	if r := <-results; r != `"old" <nil>` {
		t.Errorf("in flight: %s", r)
	}
	select {
	case <-old.closed:
		t.Fatal("closed with an invocation in flight")
	case <-after:
		t.Fatal("told to be over with an invocation in flight")
	default:
	}
	release <- struct{}{}
	if r := <-results; r != `"old" <nil>` {
		t.Errorf("in flight: %s", r)
	}
	<-old.closed
	<-after
	d.Close()
	if old.late.Load() {
		t.Error("a closed backend was used")
	}
}

func TestSwapUnderLoadDropsNothing(t *testing.T) {
	d := NewDispatcher(&record.Memory{})
	var all []*backend
	next := func() map[string]Backend {
		b := giving("1")
		all = append(all, b)
		return map[string]Backend{"fn": b}
	}
	d.Swap(next(), func() {})
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := d.Invoke(context.Background(), weir.Invocation{Function: "fn"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 500 {
		d.Swap(next(), func() {})
	}
	close(stop)
	clients.Wait()
	d.Close()
	for i, b := range all {
		select {
		case <-b.closed:
		default:
			t.Errorf("backend %d was not closed", i)
		}
		if b.late.Load() {
			t.Errorf("backend %d was closed too early", i)
		}
	}
}

func TestCloseWaits(t *testing.T) {
	d := NewDispatcher(&record.Memory{})
	a, b := giving("1"), giving("2")
	d.Swap(map[string]Backend{"a": a, "b": b}, func() {})
	d.Close()
	<-a.closed
	<-b.closed
	if _, err := d.Invoke(t.Context(), weir.Invocation{Function: "a"}); weir.ErrorCode(err) != weir.NotFound {
		t.Errorf("after Close: %v", err)
	}
}

func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		res            weir.Result
		info           InstanceInfo
		err            error
		outcome, cause string
	}{
		"ok":       {weir.Result{Payload: json.RawMessage("1")}, InstanceInfo{ID: "i1", Cold: true}, nil, "ok", ""},
		"thrown":   {weir.Result{Error: &weir.FunctionError{Type: "TypeError", Message: "secret"}}, InstanceInfo{ID: "i1"}, nil, "error", "TypeError"},
		"timeout":  {weir.Result{}, InstanceInfo{ID: "i1"}, &weir.Error{Code: weir.TimedOut, Message: "slow", Remedy: "wait"}, "timed_out", "slow"},
		"crash":    {weir.Result{}, InstanceInfo{ID: "i1"}, &weir.Error{Code: weir.Crashed, Message: "gone", Err: errors.New("cause")}, "crashed", "gone"},
		"broken":   {weir.Result{}, InstanceInfo{}, &weir.Error{Code: weir.Broken, Message: "bad"}, "broken", "bad"},
		"busy":     {weir.Result{}, InstanceInfo{}, &weir.Error{Code: weir.Unavailable, Message: "busy"}, "unavailable", "busy"},
		"large":    {weir.Result{}, InstanceInfo{}, &weir.Error{Code: weir.TooLarge, Message: "much"}, "too_large", "much"},
		"wrapped":  {weir.Result{}, InstanceInfo{}, fmt.Errorf("around: %w", &weir.Error{Code: weir.Crashed, Message: "gone"}), "crashed", "gone"},
		"ours":     {weir.Result{}, InstanceInfo{}, errors.New("EIO"), "internal", "EIO"},
		"canceled": {weir.Result{}, InstanceInfo{}, context.Canceled, "internal", "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &record.Memory{}
			d := NewDispatcher(m)
			defer d.Close()
			var seen weir.Invocation
			d.Swap(map[string]Backend{"fn": newBackend(func(_ context.Context, inv weir.Invocation) (weir.Result, InstanceInfo, error) {
				seen = inv
				return c.res, c.info, c.err
			})}, func() {})
			if _, err := d.Invoke(t.Context(), weir.Invocation{Function: "fn"}); err != c.err {
				t.Errorf("error %v", err)
			}
			got := m.Invocations()
			if len(got) != 1 {
				t.Fatalf("%d records", len(got))
			}
			r := got[0]
			if r.Outcome != c.outcome || r.Error != c.cause || r.Instance != c.info.ID || r.Cold != c.info.Cold || r.Function != "fn" ||
				r.Request == "" || r.Request != seen.ID || r.Time.IsZero() || r.Millis < 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestInvocationKeepsItsID(t *testing.T) {
	m := &record.Memory{}
	d := NewDispatcher(m)
	defer d.Close()
	d.Swap(map[string]Backend{"fn": giving("1")}, func() {})
	if _, err := d.Invoke(t.Context(), weir.Invocation{ID: "mine", Function: "fn"}); err != nil {
		t.Fatal(err)
	}
	if got := m.Invocations()[0].Request; got != "mine" {
		t.Errorf("request %q", got)
	}
}
