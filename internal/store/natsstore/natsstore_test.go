package natsstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/weir-run/weir/internal/store"
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
	q, err := s.Queue(ctx, "jobs")
	must(t, err)
	must(t, q.Add(ctx, "1", []byte("job")))
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
	q, _ = s.Queue(ctx, "jobs")
	task, err := q.Take(ctx)
	must(t, err)
	must(t, task.Done(ctx))
	if n, err := q.Len(ctx); n != 0 || err != nil || string(task.Data()) != "job" {
		t.Error(n, err)
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
