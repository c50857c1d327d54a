package natsstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/storetest"
	"github.com/weir-run/weir/internal/weir"
)

func TestWhatIsWrittenIsThereAfterReopening(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir)
	kv, err := s.KV(ctx, "sites")
	must(t, err)
	rev, err := kv.Create(ctx, "site.a", []byte("1"))
	must(t, err)
	if _, err := kv.Create(ctx, "site.a", nil); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	if _, err := kv.Update(ctx, "site.a", []byte("2"), rev); err != nil {
		t.Error(err)
	}
	if _, err := kv.Update(ctx, "site.a", []byte("3"), rev); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	content := bytes.Repeat([]byte("weir"), 1<<18)
	b, err := s.Blobs().Put(ctx, bytes.NewReader(content), "")
	must(t, err)
	if _, err := s.Blobs().Put(ctx, bytes.NewReader(content[1:]), b.SHA256); weir.ErrorCode(err) != weir.Invalid {
		t.Error(err)
	}
	st, err := s.Stream(ctx, "log", store.Bounds{})
	must(t, err)
	_, err = st.Append(ctx, "a.b", "", []byte("x"))
	must(t, err)
	if _, err := Open(ctx, Options{Dir: dir}); weir.ErrorCode(err) != weir.Invalid {
		t.Error("two at once:", err)
	}
	s.Close()

	s = open(t, dir)
	kv, _ = s.KV(ctx, "sites")
	if all, err := kv.List(ctx, "site"); err != nil || len(all) != 1 || string(all[0].Value) != "2" {
		t.Error(all, err)
	}
	r, _, err := s.Blobs().Open(ctx, b.SHA256)
	must(t, err)
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Error(len(got), err)
	}
	st, _ = s.Stream(ctx, "log", store.Bounds{})
	if all, err := st.Last(ctx, "a.*", 5); err != nil || len(all) != 1 || all[0].Subject != "a.b" {
		t.Error(all, err)
	}
}

// TestClosing: what is under way ends, and what comes later is refused.
func TestClosing(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	kv, err := s.KV(ctx, "sites")
	must(t, err)
	log, err := s.Stream(ctx, "log", store.Bounds{})
	must(t, err)
	_, err = log.Append(ctx, "a", "", nil)
	must(t, err)
	begun, results := make(chan bool, 2), make(chan error, 2)
	go func() {
		results <- kv.Watch(ctx, "", func(store.Change) error { begun <- true; return nil })
	}()
	go func() {
		results <- log.Follow(ctx, "", 1, func(store.Message) error { begun <- true; return nil })
	}()
	<-begun
	<-begun
	s.Close()
	s.Close()
	for range 2 {
		if err := <-results; weir.ErrorCode(err) != weir.Unavailable {
			t.Error(err)
		}
	}
	if _, err := kv.Get(ctx, "a"); weir.ErrorCode(err) != weir.Unavailable {
		t.Error(err)
	}
	if _, err := kv.List(ctx, ""); weir.ErrorCode(err) != weir.Unavailable {
		t.Error(err)
	}
	if _, err := s.Blobs().Put(ctx, bytes.NewReader([]byte("x")), ""); weir.ErrorCode(err) != weir.Unavailable {
		t.Error(err)
	}
}

func open(t *testing.T, dir string) store.Store {
	t.Helper()
	s, err := Open(context.Background(), Options{Dir: dir})
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEmbedded(t *testing.T) {
	s := open(t, t.TempDir())
	storetest.Run(t, s, s)
	t.Run("a large blob", func(t *testing.T) { storetest.Large(t, s) })
}
