package storetest

// Values: compare-and-set, lists, watches.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// Values is the part of Run that is about values.
func Values(t *testing.T, here, there store.Store) {
	run(t, here, there, test{"values", testKV}, test{"lists", testLists}, test{"keys", testKeys}, test{"value bounds", testValueBounds},
		test{"races", testRaces}, test{"watch", testWatch}, test{"watch ends", testWatchEnds})
}

func testKV(t *testing.T, here, there store.Store) {
	ctx, kv, other := t.Context(), bucket(t, here, "kv"), bucket(t, there, "kv")
	_, err := kv.Get(ctx, "a")
	code(t, "get of nothing", err, weir.NotFound)
	_, err = kv.Update(ctx, "a", nil, 1)
	conflict(t, "update of nothing", err)
	_, err = kv.Update(ctx, "a", nil, 0)
	conflict(t, "update of nothing that was never there", err)
	ok(t, kv.Delete(ctx, "a", 0))
	ok(t, kv.Delete(ctx, "a", 7))

	first := must(kv.Create(ctx, "a", []byte("1")))(t)
	_, err = other.Create(ctx, "a", []byte("x"))
	conflict(t, "create of what is there", err)
	e := must(other.Get(ctx, "a"))(t)
	if e.Key != "a" || string(e.Value) != "1" || e.Revision != first || e.Time.IsZero() {
		t.Errorf("%+v", e)
	}
	second := must(other.Update(ctx, "a", []byte("2"), first))(t)
	_, err = kv.Update(ctx, "a", []byte("x"), first)
	conflict(t, "update of what is old", err)
	_, err = kv.Update(ctx, "a", []byte("x"), 0)
	conflict(t, "update of no revision", err)
	conflict(t, "delete of what is old", kv.Delete(ctx, "a", first))
	third := must(kv.Put(ctx, "a", nil))(t)
	if e := must(other.Get(ctx, "a"))(t); len(e.Value) != 0 || e.Revision != third {
		t.Errorf("an empty value: %+v", e)
	}
	ok(t, other.Delete(ctx, "a", third))
	_, err = kv.Get(ctx, "a")
	code(t, "get of what was deleted", err, weir.NotFound)
	_, err = kv.Update(ctx, "a", nil, third)
	conflict(t, "update of what was deleted", err)
	ok(t, kv.Delete(ctx, "a", third))
	fourth := must(kv.Create(ctx, "a", []byte("4")))(t)
	if !slices.IsSorted([]uint64{first, second, third, fourth}) || first == second || second == third || third == fourth {
		t.Error("a revision was used twice:", first, second, third, fourth)
	}
	ok(t, kv.Delete(ctx, "a", 0))
	must(kv.Put(ctx, "a", []byte("5")))(t)
	if e := must(other.Get(ctx, "a"))(t); string(e.Value) != "5" {
		t.Errorf("%+v", e)
	}
	if _, err := bucket(t, here, "kv2").Get(ctx, "a"); weir.ErrorCode(err) != weir.NotFound {
		t.Error("buckets are not apart:", err)
	}
}

func testLists(t *testing.T, here, _ store.Store) {
	ctx, kv := t.Context(), bucket(t, here, "lists")
	for _, k := range []string{"p", "p.b.c", "p.a", "pp.a", "q.p.a", "p.gone", "p.a.a"} {
		must(kv.Put(ctx, k, []byte("of "+k)))(t)
	}
	ok(t, kv.Delete(ctx, "p.gone", 0))
	for prefix, want := range map[string][]string{
		"":    {"p", "p.a", "p.a.a", "p.b.c", "pp.a", "q.p.a"},
		"p":   {"p.a", "p.a.a", "p.b.c"},
		"p.a": {"p.a.a"},
		"q":   {"q.p.a"},
		"z":   nil,
	} {
		entries := must(kv.List(ctx, prefix))(t)
		var got []string
		for _, e := range entries {
			got = append(got, e.Key)
			if string(e.Value) != "of "+e.Key || e.Revision == 0 || e.Time.IsZero() {
				t.Errorf("%+v", e)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("list of %q: %q, want %q", prefix, got, want)
		}
		if got := must(kv.Keys(ctx, prefix))(t); !slices.Equal(got, want) {
			t.Errorf("keys of %q: %q, want %q", prefix, got, want)
		}
	}
}

// testKeys: what is no key reaches no other value, whatever the store makes of such signs.
func testKeys(t *testing.T, here, _ store.Store) {
	ctx, kv := t.Context(), bucket(t, here, "keys")
	must(kv.Put(ctx, "a.b", []byte("1")))(t)
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "*", "a.*", ">", "a.>", "a b", "a/b", "a=b", "a\n", "ä", "$JS", "a\x00"} {
		_, err := kv.Get(ctx, key)
		code(t, fmt.Sprintf("get of %q", key), err, weir.Invalid)
		_, err = kv.Create(ctx, key, nil)
		code(t, fmt.Sprintf("create of %q", key), err, weir.Invalid)
		_, err = kv.Update(ctx, key, nil, 1)
		code(t, fmt.Sprintf("update of %q", key), err, weir.Invalid)
		_, err = kv.Put(ctx, key, nil)
		code(t, fmt.Sprintf("put of %q", key), err, weir.Invalid)
		code(t, fmt.Sprintf("delete of %q", key), kv.Delete(ctx, key, 0), weir.Invalid)
		if key != "" {
			_, err = kv.List(ctx, key)
			code(t, fmt.Sprintf("list of %q", key), err, weir.Invalid)
			_, err = kv.Keys(ctx, key)
			code(t, fmt.Sprintf("keys of %q", key), err, weir.Invalid)
			code(t, fmt.Sprintf("watch of %q", key), kv.Watch(ctx, key, nil), weir.Invalid)
		}
	}
	for _, text := range []string{"", "x_", "*", "Ünïcödé/..\n", "plain-1_", strings.Repeat("long", 30)} {
		key := "t." + store.Token(text)
		must(kv.Put(ctx, key, []byte(text)))(t)
		if e := must(kv.Get(ctx, key))(t); string(e.Value) != text || store.Text(strings.TrimPrefix(e.Key, "t.")) != text {
			t.Errorf("%q as a token: %q", text, e.Key)
		}
	}
	if e := must(kv.Get(ctx, "a.b"))(t); string(e.Value) != "1" {
		t.Errorf("%+v", e)
	}
}

func testValueBounds(t *testing.T, here, _ store.Store) {
	ctx, kv := t.Context(), bucket(t, here, "bounds")
	big := bytes.Repeat([]byte{0, 'x'}, store.MaxValue/2)
	rev := must(kv.Create(ctx, "a", big))(t)
	if e := must(kv.Get(ctx, "a"))(t); !bytes.Equal(e.Value, big) {
		t.Error("a large value comes back otherwise")
	}
	big = append(big, 'x')
	_, err := kv.Update(ctx, "a", big, rev)
	code(t, "update", err, weir.TooLarge)
	_, err = kv.Create(ctx, "b", big)
	code(t, "create", err, weir.TooLarge)
	_, err = kv.Put(ctx, "a", big)
	code(t, "put", err, weir.TooLarge)
	if e := must(kv.Get(ctx, "a"))(t); e.Revision != rev {
		t.Error("a value that is too large was written")
	}
}

// testRaces: of those who believe the same, one is right.
func testRaces(t *testing.T, here, there store.Store) {
	ctx := t.Context()
	kvs := []store.KV{bucket(t, here, "races"), bucket(t, there, "races")}
	const writers, each = 8, 10
	var wg sync.WaitGroup
	var mu sync.Mutex
	created := 0
	for w := range writers {
		wg.Go(func() {
			kv := kvs[w%2]
			if _, err := kv.Create(ctx, "once", nil); err == nil {
				mu.Lock()
				created++
				mu.Unlock()
			} else if !errors.Is(err, store.ErrConflict) {
				t.Error(err)
			}
			for range each {
				if err := increment(ctx, kv, "count"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	e := must(kvs[0].Get(ctx, "count"))(t)
	if created != 1 || string(e.Value) != strconv.Itoa(writers*each) {
		t.Errorf("created %d times, counted to %s", created, e.Value)
	}
}

func increment(ctx context.Context, kv store.KV, key string) error {
	for {
		e, err := kv.Get(ctx, key)
		switch {
		case weir.ErrorCode(err) == weir.NotFound:
			_, err = kv.Create(ctx, key, []byte("1"))
		case err == nil:
			n, _ := strconv.Atoi(string(e.Value))
			_, err = kv.Update(ctx, key, []byte(strconv.Itoa(n+1)), e.Revision)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func testWatch(t *testing.T, here, there store.Store) {
	ctx, kv, other := t.Context(), bucket(t, here, "watch"), bucket(t, there, "watch")
	for _, k := range []string{"w.a", "w.b", "v.a", "w.gone", "w"} {
		must(kv.Put(ctx, k, []byte("0")))(t)
	}
	ok(t, kv.Delete(ctx, "w.gone", 0))
	changes := make(chan store.Change, 1000)
	background(t, func(ctx context.Context) error {
		return other.Watch(ctx, "w", func(c store.Change) error { changes <- c; return nil })
	})
	there0 := map[string]bool{}
	for {
		c := next(t, changes, "what is there")
		if c.Current {
			if c.Key != "" || c.Deleted {
				t.Errorf("%+v", c)
			}
			break
		}
		if !c.Deleted {
			there0[c.Key] = true
		}
	}
	if len(there0) != 2 || !there0["w.a"] || !there0["w.b"] {
		t.Errorf("what is there: %v", there0)
	}
	const n = 50
	for i := range n {
		must(kv.Put(ctx, "w.a", []byte(strconv.Itoa(i))))(t)
		must(kv.Put(ctx, "v.a", nil))(t)
	}
	ok(t, kv.Delete(ctx, "w.b", 0))
	must(kv.Create(ctx, "w.b", []byte("again")))(t)
	// Of changes that follow each other quickly, the last at least comes, and none after a later one.
	var last uint64
	until := func(key, value string, deleted bool) {
		t.Helper()
		for {
			c := next(t, changes, "a change")
			if !strings.HasPrefix(c.Key, "w.") || c.Revision <= last || c.Current || c.Deleted && len(c.Value) > 0 {
				t.Fatalf("after %d: %+v", last, c)
			}
			if last = c.Revision; c.Key == key && string(c.Value) == value && c.Deleted == deleted {
				return
			}
		}
	}
	until("w.a", strconv.Itoa(n-1), false)
	until("w.b", "again", false)
	ok(t, kv.Delete(ctx, "w.b", 0))
	until("w.b", "", true)
}

func testWatchEnds(t *testing.T, here, _ store.Store) {
	kv := bucket(t, here, "watchends")
	enough := errors.New("enough")
	if err := kv.Watch(t.Context(), "", func(c store.Change) error {
		if !c.Current {
			t.Errorf("an empty bucket has %+v", c)
		}
		return enough
	}); err != enough {
		t.Errorf("the error of each: %v", err)
	}
	current := make(chan bool, 1)
	cancel, result := background(t, func(ctx context.Context) error {
		return kv.Watch(ctx, "", func(store.Change) error { current <- true; return nil })
	})
	next(t, current, "the watch")
	cancel()
	if err := next(t, result, "the end of the watch"); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled watch: %v", err)
	}
}
