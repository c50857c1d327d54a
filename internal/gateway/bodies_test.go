package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// TestBodiesShareTheirRoom: bodies of all sites together take no more than there is room for, whatever their form, and
// give it back however their requests end.
func TestBodiesShareTheirRoom(t *testing.T) {
	const size = 100 << 10
	room := NewBodies(bodyCopies * (2*size + 10))
	whole := room.free
	body := strings.Repeat("x", size)
	call := func(f *functions, headers ...string) *http.Response {
		return ask(f, request("POST", "/.netlify/functions/fn", body, headers...), func(o *Options) { o.Bodies = room })
	}
	var inner *http.Response
	outer := &functions{invoke: func(weir.Invocation) (weir.Result, error) {
		// While this one is held, there is room for one more, not for two.
		middle := &functions{invoke: func(weir.Invocation) (weir.Result, error) {
			inner = call(giving(`{"statusCode":200}`))
			return weir.Result{Payload: json.RawMessage(`{"statusCode":200}`)}, nil
		}}
		if res := call(middle); res.StatusCode != 200 {
			t.Errorf("the second: %d", res.StatusCode)
		}
		return weir.Result{Payload: json.RawMessage(`{"statusCode":200}`)}, nil
	}}
	if res := call(outer); res.StatusCode != 200 {
		t.Errorf("the first: %d", res.StatusCode)
	}
	if inner.StatusCode != 503 || inner.Header.Get("Retry-After") == "" || !strings.Contains(text(t, inner), "no room") {
		t.Errorf("the third: %d %v", inner.StatusCode, inner.Header)
	}
	for name, f := range map[string]*functions{
		"an answer": giving(`{"statusCode":200}`), "an error": failing(errors.New("x")), "a throw": throwing(&weir.FunctionError{Type: "E"}), "nonsense": giving(`7`),
	} {
		if call(f); room.free != whole {
			t.Errorf("after %s: %d of %d bytes are free", name, room.free, whole)
		}
	}
	panicking := &functions{invoke: func(weir.Invocation) (weir.Result, error) { panic(http.ErrAbortHandler) }}
	func() {
		defer func() { recover() }()
		call(panicking)
	}()
	if room.free != whole {
		t.Errorf("after a panic: %d of %d bytes are free", room.free, whole)
	}
}

// TestRoomIsTakenByWhatComes: that a client announces a large body takes no room; a body that flows takes that of its
// beginning.
func TestRoomIsTakenByWhatComes(t *testing.T) {
	room := NewBodies(1 << 20)
	var during int64
	looked := readerFunc(func([]byte) (int, error) { during = room.free; return 0, io.ErrUnexpectedEOF })
	r := request("POST", "/.netlify/functions/fn", "x")
	r.Body, r.ContentLength = io.NopCloser(looked), 5<<20
	ask(giving(`{"statusCode":200}`), r, func(o *Options) { o.Bodies = room })
	if during != 1<<20 {
		t.Errorf("before the first byte, %d bytes are free", during)
	}
	r = request("POST", "/.netlify/functions/fn", "x")
	r.Body, r.ContentLength = io.NopCloser(looked), 5<<20
	ask(giving(`{"statusCode":200}`), r, func(o *Options) {
		o.Bodies, o.Configs = room, map[string]weir.FunctionConfig{"fn": {Form: weir.FormV2}}
	})
	if during != 1<<20-bodyCopies*smallBody || room.free != 1<<20 {
		t.Errorf("while it begins, %d bytes are free, and then %d", during, room.free)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
