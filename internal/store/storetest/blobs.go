package storetest

// Blobs: whole or not at all, by their digests, and never in memory.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// Blobs is the part of Run that is about blobs.
func Blobs(t *testing.T, here, there store.Store) {
	run(t, here, there, test{"blobs", testBlobs}, test{"blobs that fail", testFailingBlobs}, test{"blobs at once", testBlobsAtOnce},
		test{"blobs that go", testRemoval}, test{"blobs that move", testMoved})
}

func testBlobs(t *testing.T, here, there store.Store) {
	ctx := t.Context()
	for _, size := range []int64{0, 1, 256 << 10, 256<<10 + 1, 3 << 20} {
		want := digestOf(t, size)
		b := must(here.Blobs().Put(ctx, content(size), ""))(t)
		if b.SHA256 != want || b.Size != size || b.Time.IsZero() {
			t.Errorf("%d bytes: %+v", size, b)
		}
		r, opened, err := there.Blobs().Open(ctx, want)
		ok(t, err)
		if opened.SHA256 != want || opened.Size != size {
			t.Errorf("%d bytes: %+v", size, opened)
		}
		sum := sha256.New()
		if n, err := io.Copy(sum, r); err != nil || n != size || hex.EncodeToString(sum.Sum(nil)) != want {
			t.Errorf("%d bytes: read %d, %v", size, n, err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d %v", n, err)
		}
		ok(t, r.Close())
		again := must(there.Blobs().Put(ctx, content(size), want))(t)
		if !again.Time.After(b.Time) || again.SHA256 != want {
			t.Errorf("put again: %v, first %v", again.Time, b.Time)
		}
		if stat := must(here.Blobs().Stat(ctx, want))(t); !stat.Time.Equal(again.Time) || stat.Size != size {
			t.Errorf("%+v, want %+v", stat, again)
		}
	}
	for _, name := range []string{"", "x", "../../etc/passwd", strings.Repeat("0", 64), strings.ToUpper(digestOf(t, 1)), "*", ">"} {
		_, _, err := here.Blobs().Open(ctx, name)
		code(t, "open of "+name, err, weir.NotFound)
		_, err = here.Blobs().Stat(ctx, name)
		code(t, "stat of "+name, err, weir.NotFound)
		ok(t, here.Blobs().Delete(ctx, store.Blob{SHA256: name}))
	}
}

// testFailingBlobs: of a write that fails nothing is kept, however it fails.
func testFailingBlobs(t *testing.T, here, _ store.Store) {
	ctx, broken := t.Context(), errors.New("broken")
	const size = 700_001
	half := digestOf(t, size)
	for _, c := range []struct {
		name string
		r    io.Reader
		want string
		is   func(error) bool
	}{
		{"another digest", content(size), strings.Repeat("0", 64), func(err error) bool { return weir.ErrorCode(err) == weir.Invalid }},
		{"no digest", content(size), "<script>\x1b[2J", func(err error) bool {
			return weir.ErrorCode(err) == weir.Invalid && !strings.Contains(err.Error(), "\x1b")
		}},
		{"an error", io.MultiReader(content(size), failing{broken}), "", func(err error) bool { return err == broken }},
		{"an error at once", failing{broken}, "", func(err error) bool { return err == broken }},
		{"a client that went", io.MultiReader(content(size), failing{io.ErrUnexpectedEOF}), "", func(err error) bool { return err == io.ErrUnexpectedEOF }},
		{"a client that went at once", failing{io.ErrUnexpectedEOF}, "", func(err error) bool { return err == io.ErrUnexpectedEOF }},
	} {
		if _, err := here.Blobs().Put(ctx, c.r, c.want); !c.is(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		_, err := here.Blobs().Stat(ctx, half)
		code(t, c.name, err, weir.NotFound)
	}
	cancelled, cancel := context.WithCancel(ctx)
	_, err := here.Blobs().Put(cancelled, io.MultiReader(content(size), ending(cancel)), "")
	if err == nil {
		t.Error("a cancelled write is kept")
	}
	_, err = here.Blobs().Stat(ctx, half)
	code(t, "a cancelled write", err, weir.NotFound)
	one := bytes.NewReader([]byte("by single bytes, and with its end beside the last"))
	b := must(here.Blobs().Put(ctx, eager{one}, ""))(t)
	if b.Size != one.Size() {
		t.Errorf("%+v", b)
	}
}

// testBlobsAtOnce: many write the same and others, and each gets its own.
func testBlobsAtOnce(t *testing.T, here, there store.Store) {
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			at := []store.Store{here, there}[i%2].Blobs()
			size := int64(1<<20 + i/4) // four write the same
			b, err := at.Put(ctx, content(size), "")
			if err != nil {
				t.Error(err)
				return
			}
			r, _, err := at.Open(ctx, b.SHA256)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			if n, err := io.Copy(io.Discard, r); n != size || err != nil {
				t.Errorf("%d of %d bytes: %v", n, size, err)
			}
		})
	}
	wg.Wait()
}

// Large holds the memory of this process to its bound while a large content passes through: it is never in memory as a
// whole.
func Large(t *testing.T, here store.Store) {
	ctx := t.Context()
	const size, held = 64 << 20, 40 << 20
	before := heap()
	most := uint64(0)
	measure := func(n int64) {
		if n%(16<<20) == 0 {
			most = max(most, heap())
		}
	}
	b := must(here.Blobs().Put(ctx, &counted{content(size), 0, measure}, ""))(t)
	r, _, err := here.Blobs().Open(ctx, b.SHA256)
	ok(t, err)
	if n, err := io.Copy(io.Discard, &counted{r, 0, measure}); n != size || err != nil {
		t.Errorf("%d bytes: %v", n, err)
	}
	if most > before+held {
		t.Errorf("%d MB of memory for a content of %d MB", (most-before)>>20, size>>20)
	}
	ok(t, here.Blobs().Delete(ctx, b))
}

// heap gives how many bytes are held.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// counted tells how much has been read, in steps of 64 KB at most.
type counted struct {
	from io.Reader
	n    int64
	tell func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	const step = 64 << 10
	n, err := c.from.Read(p[:min(int64(len(p)), step-c.n%step)])
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}

func testRemoval(t *testing.T, here, there store.Store) {
	ctx := t.Context()
	b := must(here.Blobs().Put(ctx, strings.NewReader("to be removed"), ""))(t)
	kept := must(here.Blobs().Put(ctx, strings.NewReader("to be kept"), ""))(t)
	r, _, err := here.Blobs().Open(ctx, b.SHA256)
	ok(t, err)
	again := must(here.Blobs().Put(ctx, strings.NewReader("to be removed"), ""))(t)
	conflict(t, "removal of what was put again", there.Blobs().Delete(ctx, b))
	ok(t, there.Blobs().Delete(ctx, again))
	if got, err := io.ReadAll(r); err == nil && string(got) != "to be removed" || err != nil && weir.ErrorCode(err) != weir.NotFound {
		t.Errorf("what was removed while it was read: %q %v", got, err)
	}
	ok(t, there.Blobs().Delete(ctx, again))
	_, err = here.Blobs().Stat(ctx, b.SHA256)
	code(t, "stat of what was removed", err, weir.NotFound)
	must(there.Blobs().Put(ctx, strings.NewReader("to be removed"), b.SHA256))(t)
	must(here.Blobs().Stat(ctx, b.SHA256))(t)

	ok(t, here.Blobs().Tidy(ctx, 0))
	all := map[string]bool{}
	ok(t, here.Blobs().List(ctx, func(b store.Blob) error { all[b.SHA256] = true; return nil }))
	if !all[b.SHA256] || !all[kept.SHA256] {
		t.Error("the list lacks what is there")
	}
	for sha := range all {
		r, _, err := here.Blobs().Open(ctx, sha)
		ok(t, err)
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("after tidying, %s: %v", sha, err)
		}
	}
	enough := errors.New("enough")
	if err := here.Blobs().List(ctx, func(store.Blob) error { return enough }); err != enough {
		t.Errorf("the error of each: %v", err)
	}
}

// testMoved: who reads a content that is removed and put again meanwhile gets all of it, from wherever it was.
func testMoved(t *testing.T, here, there store.Store) {
	ctx := t.Context()
	const size = 600 << 10
	for _, before := range []int64{0, 1, 300 << 10, size} {
		b := must(here.Blobs().Put(ctx, content(size), ""))(t)
		r, _, err := here.Blobs().Open(ctx, b.SHA256)
		ok(t, err)
		sum := sha256.New()
		if _, err := io.CopyN(sum, r, before); err != nil {
			t.Fatal(err)
		}
		ok(t, there.Blobs().Delete(ctx, b))
		must(there.Blobs().Put(ctx, content(size), b.SHA256))(t)
		if n, err := io.Copy(sum, r); err != nil || before+n != size || hex.EncodeToString(sum.Sum(nil)) != b.SHA256 {
			t.Errorf("moved after %d bytes: %d more, %v", before, n, err)
		}
	}
}

// content gives so many bytes, which differ by their number.
func content(size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)}), size)
}

func digestOf(t *testing.T, size int64) string {
	t.Helper()
	sum := sha256.New()
	_, err := io.Copy(sum, content(size))
	ok(t, err)
	return hex.EncodeToString(sum.Sum(nil))
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// ending is an end of a content that does something.
type ending func()

func (f ending) Read([]byte) (int, error) { f(); return 0, io.EOF }

// eager gives bytes one by one, the last with the end.
type eager struct{ from *bytes.Reader }

func (e eager) Read(p []byte) (int, error) {
	n, err := e.from.Read(p[:1])
	if e.from.Len() == 0 {
		err = io.EOF
	}
	return n, err
}
