package storetest

// The suite: what is true of every store, each sentence of the contract in a test of its own.

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// patience bounds how long a test waits for what must happen. It is no measure of speed.
const patience = time.Minute

// Run holds two handles on the same, empty place to the contract, as two servers have them. Both may be the same one
// where a place can have one server only.
func Run(t *testing.T, here, there store.Store) {
	t.Run("names", func(t *testing.T) { testNames(t, here) })
	Values(t, here, there)
	Blobs(t, here, there)
	Streams(t, here, there)
}

type test struct {
	name string
	run  func(t *testing.T, here, there store.Store)
}

func run(t *testing.T, here, there store.Store, tests ...test) {
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) { c.run(t, here, there) })
	}
}

func testNames(t *testing.T, here store.Store) {
	for _, name := range []string{"", "a.b", "a b", "a*", ">", "a-b", "ä", "../a"} {
		if _, err := here.KV(t.Context(), name); weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("bucket %q: %v", name, err)
		}
		if _, err := here.Stream(t.Context(), name, store.Bounds{}); weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("stream %q: %v", name, err)
		}
	}
	// A bucket and a stream of the same name are apart.
	kv := bucket(t, here, "same")
	must(kv.Put(t.Context(), "a.b", []byte("value")))(t)
	s := stream(t, here, "same", store.Bounds{})
	must(s.Append(t.Context(), "a.b", "", []byte("message")))(t)
	if e, err := kv.Get(t.Context(), "a.b"); err != nil || string(e.Value) != "value" {
		t.Errorf("%q %v", e.Value, err)
	}
	if all, err := kv.List(t.Context(), ""); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
}

func bucket(t *testing.T, s store.Store, name string) store.KV {
	t.Helper()
	kv, err := s.KV(t.Context(), name)
	ok(t, err)
	return kv
}

func stream(t *testing.T, s store.Store, name string, b store.Bounds) store.Stream {
	t.Helper()
	st, err := s.Stream(t.Context(), name, b)
	ok(t, err)
	return st
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must gives a value whose making must not fail.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func conflict(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("%s: %v, want a conflict", what, err)
	}
}

func code(t *testing.T, what string, err error, want weir.Code) {
	t.Helper()
	if weir.ErrorCode(err) != want {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// background runs f until the test is over, and gives what it says.
func background(t *testing.T, f func(context.Context) error) (cancel func(), result <-chan error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(cancel)
	return cancel, done
}

// next gives what comes next.
func next[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}
