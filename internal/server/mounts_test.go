package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// loads counts what is loaded and closed.
type loads struct {
	opened, closed atomic.Int32
	fault          atomic.Pointer[error]
	gate           chan struct{} // a load waits for it; nil: it doesn't
}

func (l *loads) load(_ context.Context, d weir.Deploy) (*mount, error) {
	if l.gate != nil {
		<-l.gate
	}
	if err := l.fault.Load(); err != nil {
		return nil, *err
	}
	l.opened.Add(1)
	return &mount{deploy: d, end: func() {}, close: func() { l.closed.Add(1) }}, nil
}

func TestMountsAreSharedAndSwappedWithoutAGap(t *testing.T) {
	l := &loads{gate: make(chan struct{})}
	m := newMounts(t.Context(), l.load, slog.New(slog.DiscardHandler))
	d := weir.Deploy{ID: "a", Site: "1"}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			mt, err := m.acquire(t.Context(), d)
			if err != nil {
				t.Error(err)
				return
			}
			defer m.release(mt)
		})
	}
	l.gate <- struct{}{}
	all.Wait()
	if n := l.opened.Load(); n != 1 {
		t.Errorf("loaded %d times", n)
	}
	old, err := m.acquire(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	m.renew("other")
	m.renew("1")
	m.renew("1") // while the first is under way: what it read may be stale
	during, err := m.acquire(t.Context(), d)
	if err != nil || during != old {
		t.Error("a request waits for the new one, or fails:", err)
	}
	m.release(during)
	l.gate <- struct{}{}
	l.gate <- struct{}{}
	waitFor(t, func() bool { return !m.busy("a") })
	if n := l.opened.Load(); n != 3 {
		t.Errorf("loaded %d times", n)
	}
	after, err := m.acquire(t.Context(), d)
	if err != nil || after == old {
		t.Error("the old one is still there:", err)
	}
	if n := l.closed.Load(); n > 1 {
		t.Error("closed while it was in use")
	}
	m.release(old)
	m.release(after)
	m.end()
	if l.closed.Load() != l.opened.Load() {
		t.Errorf("opened %d, closed %d", l.opened.Load(), l.closed.Load())
	}
	if _, err := m.acquire(t.Context(), d); weir.ErrorCode(err) != weir.Unavailable {
		t.Error(err)
	}
}

func (m *mounts) busy(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.slots[id].loading != nil
}

// TestApprovedInHindsight: what production URLs show may be known by an older record than the deploy's own URL asks by.
// Requests that alternate must not have it loaded again and again.
func TestApprovedInHindsight(t *testing.T) {
	l := &loads{}
	m := newMounts(t.Context(), l.load, slog.New(slog.DiscardHandler))
	for _, review := range []weir.Review{weir.ReviewNone, weir.ReviewApproved, weir.ReviewNone} {
		mt, err := m.acquire(t.Context(), weir.Deploy{ID: "a", Review: review, Baseline: "b"})
		if err != nil {
			t.Fatal(err)
		}
		m.release(mt)
	}
	if n := l.opened.Load(); n != 1 {
		t.Errorf("loaded %d times", n)
	}
	m.end()
}

// TestReviewCounts: a deploy is never served by what an earlier review let it do.
func TestReviewCounts(t *testing.T) {
	l := &loads{}
	m := newMounts(t.Context(), l.load, slog.New(slog.DiscardHandler))
	defer m.end()
	held, err := m.acquire(t.Context(), weir.Deploy{ID: "a", Review: weir.ReviewApproved})
	if err != nil {
		t.Fatal(err)
	}
	defer m.release(held)
	fault := errors.New("the store is away")
	l.fault.Store(&fault)
	if got, err := m.acquire(t.Context(), weir.Deploy{ID: "a", Review: weir.ReviewHeld, Baseline: "b"}); err != fault {
		t.Error("an approval that is gone still serves:", got, err)
	}
}

func TestFailedAndIdleMounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loads{}
		m := newMounts(t.Context(), l.load, slog.New(slog.DiscardHandler))
		d := weir.Deploy{ID: "a", Site: "1"}
		fault := errors.New("the store is away")
		l.fault.Store(&fault)
		if _, err := m.acquire(t.Context(), d); err != fault {
			t.Error(err)
		}
		l.fault.Store(nil)
		if _, err := m.acquire(t.Context(), d); err != fault {
			t.Error("every request loads it again:", err)
		}
		time.Sleep(failedFor)
		mt, err := m.acquire(t.Context(), d)
		if err != nil {
			t.Fatal("a fault that has passed:", err)
		}
		time.Sleep(2 * unmountAfter)
		m.dropIdle(time.Now())
		if l.closed.Load() != 0 {
			t.Error("closed while it was in use")
		}
		l.fault.Store(&fault)
		m.renew("1")
		synctest.Wait()
		if again, err := m.acquire(t.Context(), d); err != nil || again != mt {
			t.Error("what serves is gone as the new one can't be loaded:", err)
		} else {
			m.release(again)
		}
		m.release(mt)
		time.Sleep(unmountAfter + time.Second)
		m.dropIdle(time.Now())
		synctest.Wait()
		if l.closed.Load() != 1 {
			t.Error("not closed after a while")
		}
		m.end()
	})
}

// TestDropped: what a site that was removed had is given up after its last request.
func TestDropped(t *testing.T) {
	l := &loads{}
	m := newMounts(t.Context(), l.load, slog.New(slog.DiscardHandler))
	mt, err := m.acquire(t.Context(), weir.Deploy{ID: "a", Site: "1"})
	if err != nil {
		t.Fatal(err)
	}
	m.drop("2")
	m.drop("1")
	if l.closed.Load() != 0 {
		t.Error("closed while it was in use")
	}
	m.release(mt)
	m.end()
	if l.opened.Load() != 1 || l.closed.Load() != 1 {
		t.Errorf("opened %d, closed %d", l.opened.Load(), l.closed.Load())
	}
}

// TestMountsOfASite: whoever asks for all deploys that a site has makes the server hold a few at a time, and neither what
// the site shows nor other sites give way.
func TestMountsOfASite(t *testing.T) {
	l := &loads{}
	m := newMounts(t.Context(), l.load, slog.New(slog.DiscardHandler))
	m.shown = func(d weir.Deploy) bool { return d.ID == "shown" }
	use := func(site, id string) *mount {
		t.Helper()
		mt, err := m.acquire(t.Context(), weir.Deploy{ID: id, Site: site})
		if err != nil {
			t.Fatal(err)
		}
		return mt
	}
	shown, other := use("1", "shown"), use("2", "other")
	m.release(shown)
	m.release(other)
	for i := range 100 {
		m.release(use("1", "draft"+strconv.Itoa(i)))
	}
	waitFor(t, func() bool { return l.closed.Load() == 100-mountsOfSite })
	if use("1", "shown") != shown || use("2", "other") != other {
		t.Error("what a site shows, or another site, gave way")
	}
	var used []*mount
	for i := range mountsOfSite {
		used = append(used, use("1", "used"+strconv.Itoa(i)))
	}
	if _, err := m.acquire(t.Context(), weir.Deploy{ID: "more", Site: "1"}); weir.ErrorCode(err) != weir.Busy {
		t.Errorf("one more than may be used at a time: %v", err)
	}
	m.release(use("3", "of another"))
	m.release(used[3])
	m.release(use("1", "more"))
}

// TestLoadsOfASite: a site has few deploys loaded at a time, and no other waits for them.
func TestLoadsOfASite(t *testing.T) {
	l := &loads{}
	begun, gate := make(chan string, 100), make(chan bool)
	m := newMounts(t.Context(), func(ctx context.Context, d weir.Deploy) (*mount, error) {
		begun <- d.Site
		if d.Site == "slow" {
			<-gate
		}
		return l.load(ctx, d)
	}, slog.New(slog.DiscardHandler))
	var all sync.WaitGroup
	use := func(site, id string) {
		mt, err := m.acquire(t.Context(), weir.Deploy{ID: id, Site: site})
		if err != nil {
			t.Error(err)
			return
		}
		m.release(mt)
	}
	for i := range mountsOfSite {
		all.Go(func() { use("slow", strconv.Itoa(i)) })
	}
	for range loadsOfSite {
		<-begun
	}
	use("other", "b")
	if site := <-begun; site != "other" || len(begun) > 0 {
		t.Errorf("more than %d are loaded at a time", loadsOfSite)
	}
	close(gate)
	all.Wait()
}

// TestManyMountsMakeRoomForEachOther: what is loaded is bounded, and what is in use stays.
func TestManyMountsMakeRoomForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var closed []string
		load := func(_ context.Context, d weir.Deploy) (*mount, error) {
			return &mount{deploy: d, size: maxMounted / 3, end: func() {}, close: func() {
				mu.Lock()
				defer mu.Unlock()
				closed = append(closed, d.ID)
			}}, nil
		}
		m := newMounts(t.Context(), load, slog.New(slog.DiscardHandler))
		ask := func(id string) *mount {
			mt, err := m.acquire(t.Context(), weir.Deploy{ID: id, Site: id})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // of the test's own time
			return mt
		}
		used := ask("used")
		for _, id := range []string{"a", "b", "a", "c", "d"} {
			m.release(ask(id))
		}
		synctest.Wait()
		if want := []string{"b", "a"}; !slices.Equal(closed, want) {
			t.Errorf("given up: %v, want %v", closed, want)
		}
		m.release(used)
		m.end()
		if len(closed) != 5 {
			t.Errorf("closed: %v", closed)
		}
	})
}
