package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// blobs is a store of contents that counts what is asked of it.
type blobs struct {
	store.Blobs
	all    map[string][]byte
	opened atomic.Int32
	gate   chan struct{} // an Open waits for it; nil: it doesn't
	fault  error         // of a Read in the middle
}

func (b *blobs) Open(_ context.Context, digest string) (io.ReadCloser, store.Blob, error) {
	b.opened.Add(1)
	if b.gate != nil {
		<-b.gate
	}
	data, ok := b.all[digest]
	if !ok {
		return nil, store.Blob{}, &weir.Error{Code: weir.NotFound, Message: "none"}
	}
	var r io.Reader = bytes.NewReader(data)
	if b.fault != nil {
		r = io.MultiReader(bytes.NewReader(data[:1]), failing{b.fault})
	}
	return io.NopCloser(r), store.Blob{SHA256: digest, Size: int64(len(data))}, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (b *blobs) add(content string) string {
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	b.all[digest] = []byte(content)
	return digest
}

func newCache(t *testing.T, dir string, b *blobs, size int64) *Cache {
	t.Helper()
	c, err := New(Options{Dir: dir, Blobs: b, Size: size, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, c *Cache, digest string) string {
	t.Helper()
	f, err := c.Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestManyWhoAskAtOnceFetchOnce(t *testing.T) {
	b := &blobs{all: map[string][]byte{}, gate: make(chan struct{})}
	digest := b.add("content")
	c := newCache(t, t.TempDir(), b, 0)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := read(t, c, digest); got != "content" {
				t.Error(got)
			}
		})
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Open(gone, digest); !errors.Is(err, context.Canceled) {
		t.Error("who gives up still waits:", err)
	}
	close(b.gate)
	all.Wait()
	if n := b.opened.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestWhatFailsLeavesNothing(t *testing.T) {
	b := &blobs{all: map[string][]byte{}, fault: errors.New("cut")}
	dir, digest := t.TempDir(), b.add("content")
	c := newCache(t, dir, b, 0)
	if _, err := c.Open(t.Context(), digest); !errors.Is(err, b.fault) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Error("left behind:", left)
	}
	b.fault = nil
	if got := read(t, c, digest); got != "content" {
		t.Error(got)
	}
	for _, bad := range []string{"", "..", "../../etc/passwd", digest + "/x", b.add("other")[:63]} {
		if _, err := c.Open(t.Context(), bad); weir.ErrorCode(err) != weir.NotFound {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestBound: the least recently used goes, what is open stays readable, and a new process goes on counting.
func TestBound(t *testing.T) {
	b := &blobs{all: map[string][]byte{}}
	dir := t.TempDir()
	c := newCache(t, dir, b, 100)
	first, second := b.add("1"+string(make([]byte, 39))), b.add("2"+string(make([]byte, 39)))
	held, err := c.Open(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	read(t, c, second)
	old := time.Now().Add(-time.Hour)
	os.Chtimes(filepath.Join(dir, first), old, old)
	os.WriteFile(filepath.Join(dir, ".new-1"), []byte("torn"), 0o600)
	c = newCache(t, dir, b, 100)
	if _, err := os.Stat(filepath.Join(dir, ".new-1")); err == nil {
		t.Error("what an earlier process left unfinished is still there")
	}
	third := b.add("3" + string(make([]byte, 39)))
	read(t, c, third)
	for digest, want := range map[string]bool{first: false, second: true, third: true} {
		if _, err := os.Stat(filepath.Join(dir, digest)); (err == nil) != want {
			t.Errorf("%s: %v", digest[:8], err)
		}
	}
	if data, err := io.ReadAll(held); len(data) != 40 || err != nil {
		t.Error("an open file was cut off:", len(data), err)
	}
}
