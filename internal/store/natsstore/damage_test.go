package natsstore

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// TestDamagedBlob: a content that is not what its name says is an error when it is read, at its end at the latest.
func TestDamagedBlob(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(s.Close)
	const good = "what was deployed"
	b, err := s.Blobs().Put(t.Context(), strings.NewReader(good), "")
	must(t, err)
	place, _, err := s.blobs.find(t.Context(), b.SHA256)
	must(t, err)
	for name, chunks := range map[string][]string{
		"changed": {"what was forged !"}, "longer": {good, "!"}, "shorter": {good[:5]}, "gone": nil, "swapped": {good[5:], good[:5]},
	} {
		must(t, s.blobs.purge(t.Context(), place.Subject))
		for _, c := range chunks {
			_, err := s.js.Publish(t.Context(), place.Subject, []byte(c))
			must(t, err)
		}
		r, _, err := s.Blobs().Open(t.Context(), b.SHA256)
		must(t, err)
		got, err := io.ReadAll(r)
		if name == "longer" { // what is behind the end is never read
			if err != nil || string(got) != good {
				t.Errorf("%s: %q %v", name, got, err)
			}
			continue
		}
		if weir.ErrorCode(err) != weir.Internal {
			t.Errorf("%s: read %q, %v", name, got, err)
		}
	}
}

// TestTidy: what uploads left that never came to their end goes, when it is old enough; what is whole stays.
func TestTidy(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(s.Close)
	ctx := t.Context()
	b, err := s.Blobs().Put(ctx, strings.NewReader("whole"), "")
	must(t, err)
	broken := errors.New("broken")
	for range 3 { // none of these leaves anything
		_, err := s.Blobs().Put(ctx, io.MultiReader(strings.NewReader(strings.Repeat("x", 3*chunkSize+1)), failing{broken}), "")
		if err != broken {
			t.Error(err)
		}
		_, err = s.Blobs().Put(ctx, strings.NewReader("whole"), "")
		must(t, err)
	}
	if n := subjects(t, s); n != 1 {
		t.Errorf("%d contents are kept of one", n)
	}
	_, err = s.js.Publish(ctx, chunksSubject+"left", []byte("half")) // by a process that was killed
	must(t, err)
	must(t, s.Blobs().Tidy(ctx, time.Hour))
	if n := subjects(t, s); n != 2 {
		t.Errorf("an upload that may still be under way was removed: %d", n)
	}
	must(t, s.Blobs().Tidy(ctx, 0))
	r, _, err := s.Blobs().Open(ctx, b.SHA256)
	must(t, err)
	if got, err := io.ReadAll(r); subjects(t, s) != 1 || string(got) != "whole" || err != nil {
		t.Errorf("%d contents, %q %v", subjects(t, s), got, err)
	}
}

func subjects(t *testing.T, s *Store) int {
	t.Helper()
	info, err := s.blobs.stream.Info(t.Context(), jetstream.WithSubjectFilter(chunksSubject+">"))
	must(t, err)
	return len(info.State.Subjects)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestPutAgainWhileItIsRemoved: whoever was told that a content is kept finds it, whatever somebody else removes.
func TestPutAgainWhileItIsRemoved(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(s.Close)
	ctx, stop := context.WithCancel(t.Context())
	first, err := s.Blobs().Put(ctx, strings.NewReader("contended"), "")
	must(t, err)
	removed := make(chan int)
	go func() {
		n := 0
		for seen := first; ctx.Err() == nil; seen, _ = s.Blobs().Stat(ctx, first.SHA256) {
			if err := s.Blobs().Delete(ctx, seen); err == nil {
				n++
			} else if !errors.Is(err, store.ErrConflict) && ctx.Err() == nil {
				t.Error(err)
			}
		}
		removed <- n
	}()
	for range 60 {
		b, err := s.Blobs().Put(t.Context(), strings.NewReader("contended"), "")
		must(t, err)
		// Whoever saw an older time can't remove it; whoever saw this one may, and then it is gone as a whole.
		r, _, err := s.Blobs().Open(t.Context(), b.SHA256)
		if weir.ErrorCode(err) == weir.NotFound {
			continue
		}
		must(t, err)
		if got, err := io.ReadAll(r); err == nil && string(got) != "contended" {
			t.Fatalf("%q", got)
		}
	}
	stop()
	if n := <-removed; n == 0 {
		t.Error("nothing was removed: nothing was tried")
	}
	must(t, s.Blobs().Tidy(t.Context(), 0))
	b, err := s.Blobs().Put(t.Context(), strings.NewReader("contended"), "")
	must(t, err)
	r, _, err := s.Blobs().Open(t.Context(), b.SHA256)
	must(t, err)
	if got, err := io.ReadAll(r); string(got) != "contended" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

// TestFullStore: when there is little room, contents are refused, but all else goes on, and what is removed makes room.
func TestFullStore(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), most: 20 << 20})
	must(t, err)
	t.Cleanup(s.Close)
	ctx := t.Context()
	put := func(i int) (store.Blob, error) {
		return s.Blobs().Put(ctx, strings.NewReader(strings.Repeat(string(rune('a'+i)), 5<<20)), "")
	}
	var kept []store.Blob
	for i := range 10 {
		b, err := put(i)
		if err != nil {
			if weir.ErrorCode(err) != weir.Unavailable || !strings.Contains(err.Error(), "full") {
				t.Error(err)
			}
			break
		}
		kept = append(kept, b)
	}
	if len(kept) != 3 {
		t.Errorf("%d contents of 5 MB fit in 20 MB", len(kept))
	}
	kv, err := s.KV(ctx, "sites")
	must(t, err)
	_, err = kv.Put(ctx, "site", nil)
	must(t, err)
	must(t, s.Blobs().Delete(ctx, kept[0]))
	if _, err := put(0); err != nil {
		t.Error("after a removal:", err)
	}
}

// TestSmallStore: a stream that may take more than there is takes a share, and keeps it when there is even less room.
func TestSmallStore(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	var bytes []int64
	for _, most := range []int64{64 << 20, 20 << 20, 640 << 20} {
		s, err := Open(ctx, Options{Dir: dir, most: most})
		must(t, err)
		st, err := s.Stream(ctx, "large", store.Bounds{Bytes: 16 << 20})
		must(t, err)
		_, err = st.Append(ctx, "a", "", nil)
		must(t, err)
		bytes = append(bytes, st.(*stream).at.CachedInfo().Config.MaxBytes)
		s.Close()
	}
	if want := []int64{8 << 20, 8 << 20, 16 << 20}; !slices.Equal(bytes, want) {
		t.Errorf("the stream may take %v, not %v", bytes, want)
	}
}
