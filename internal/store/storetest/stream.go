package storetest

// Streams: order, filters, bounds, and following.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// Streams is the part of Run that is about streams.
func Streams(t *testing.T, here, there store.Store) {
	run(t, here, there, test{"order", testStream}, test{"filters", testFilters}, test{"bounds", testBounds}, test{"follow", testFollow})
}

func testStream(t *testing.T, here, there store.Store) {
	ctx, s, other := t.Context(), stream(t, here, "order", store.Bounds{}), stream(t, there, "order", store.Bounds{})
	if all := must(s.Read(ctx, "", 0, 10))(t); len(all) != 0 {
		t.Error(all)
	}
	if all := must(s.Last(ctx, "", 10))(t); len(all) != 0 {
		t.Error(all)
	}
	const n = 100
	for i := range n {
		at := []store.Stream{s, other}[i%2]
		if seq := must(at.Append(ctx, "a", "", []byte(strconv.Itoa(i))))(t); seq != uint64(i+1) {
			t.Fatalf("message %d has the number %d", i, seq)
		}
	}
	all := must(other.Read(ctx, "", 1, 2*n))(t)
	if len(all) != n {
		t.Fatalf("%d messages", len(all))
	}
	for i, m := range all {
		if m.Seq != uint64(i+1) || m.Subject != "a" || string(m.Data) != strconv.Itoa(i) || m.Time.IsZero() {
			t.Fatalf("%d: %+v", i, m)
		}
	}
	for _, c := range []struct {
		from       uint64
		limit      int
		first, len int
	}{{0, 5, 1, 5}, {98, 10, 98, 3}, {101, 10, 0, 0}, {1000, 10, 0, 0}, {50, 1, 50, 1}, {50, 0, 0, 0}} {
		got := must(s.Read(ctx, "", c.from, c.limit))(t)
		if len(got) != c.len || c.len > 0 && got[0].Seq != uint64(c.first) {
			t.Errorf("from %d, %d at most: %d messages", c.from, c.limit, len(got))
		}
	}
	if last := must(s.Last(ctx, "", 3))(t); len(last) != 3 || last[0].Seq != 98 || last[2].Seq != 100 {
		t.Errorf("the last: %+v", last)
	}
	if last := must(s.Last(ctx, "", 5*n))(t); len(last) != n || last[0].Seq != 1 {
		t.Errorf("the last of few: %d", len(last))
	}
	first := must(s.Append(ctx, "b", "id", []byte("1")))(t)
	if again := must(other.Append(ctx, "b", "id", []byte("2")))(t); again != first {
		t.Errorf("an id that came before: %d, then %d", first, again)
	}
	if all := must(s.Read(ctx, "b", 0, 10))(t); len(all) != 1 || string(all[0].Data) != "1" {
		t.Errorf("%+v", all)
	}
}

func testFilters(t *testing.T, here, _ store.Store) {
	ctx, s := t.Context(), stream(t, here, "filters", store.Bounds{})
	for _, subject := range []string{"a", "a.b", "a.c", "b.b", "a.b.c", "d.e.f.g"} {
		must(s.Append(ctx, subject, "", nil))(t)
	}
	for filter, want := range map[string]string{
		"":      "a a.b a.c b.b a.b.c d.e.f.g",
		"a":     "a",
		"a.*":   "a.b a.c",
		"*.b":   "a.b b.b",
		"a.>":   "a.b a.c a.b.c",
		"*.*.c": "a.b.c",
		"d.>":   "d.e.f.g",
		"z.>":   "",
	} {
		for name, read := range map[string]func() ([]store.Message, error){
			"read": func() ([]store.Message, error) { return s.Read(ctx, filter, 0, 100) },
			"last": func() ([]store.Message, error) { return s.Last(ctx, filter, 100) },
		} {
			var got []string
			for _, m := range must(read())(t) {
				got = append(got, m.Subject)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s %q: %q, want %q", name, filter, got, want)
			}
		}
		if last := must(s.Last(ctx, filter, 1))(t); want != "" && (len(last) != 1 || !strings.HasSuffix(want, last[0].Subject)) {
			t.Errorf("the last of %q: %+v", filter, last)
		}
	}
	for _, subject := range []string{"", ".", "a.", "a..b", "*", "a.*", ">", "a b", "a\r\nPUB x", "ä", strings.Repeat("a", 5000)} {
		_, err := s.Append(ctx, subject, "", nil)
		code(t, fmt.Sprintf("append to %.20q", subject), err, weir.Invalid)
	}
	for _, filter := range []string{".", "a.", "a..b", "a b", ">.a", "a.>.b", "a*", "a\r\nPUB x"} {
		_, err := s.Read(ctx, filter, 0, 1)
		code(t, fmt.Sprintf("read of %q", filter), err, weir.Invalid)
		_, err = s.Last(ctx, filter, 1)
		code(t, fmt.Sprintf("last of %q", filter), err, weir.Invalid)
		code(t, fmt.Sprintf("follow of %q", filter), s.Follow(ctx, filter, 0, nil), weir.Invalid)
	}
	_, err := s.Append(ctx, "a", "", make([]byte, store.MaxMessage+1))
	code(t, "a message that is too large", err, weir.TooLarge)
	must(s.Append(ctx, "a", "", make([]byte, store.MaxMessage)))(t)
}

// testBounds: what is over the bounds goes, the oldest first, and nobody else's.
func testBounds(t *testing.T, here, _ store.Store) {
	ctx, s := t.Context(), stream(t, here, "persubject", store.Bounds{PerSubject: 3})
	must(s.Append(ctx, "quiet", "", []byte("q")))(t)
	for i := range 20 {
		must(s.Append(ctx, "loud", "", []byte(strconv.Itoa(i))))(t)
	}
	var got []string
	for _, m := range must(s.Read(ctx, "", 0, 100))(t) {
		got = append(got, string(m.Data))
	}
	if !slices.Equal(got, []string{"q", "17", "18", "19"}) {
		t.Errorf("3 of each subject: %q", got)
	}
	if last := must(s.Last(ctx, "quiet", 5))(t); len(last) != 1 {
		t.Errorf("the last of a subject that is long ago: %+v", last)
	}

	s = stream(t, here, "bytes", store.Bounds{Bytes: 64 << 10})
	for i := range 100 {
		must(s.Append(ctx, "a", "", append(make([]byte, 8<<10), byte(i))))(t)
	}
	all := must(s.Read(ctx, "", 0, 1000))(t)
	if len(all) == 0 || len(all) > 8 || all[len(all)-1].Data[8<<10] != 99 {
		t.Errorf("64 KB of pieces of 8 KB: %d", len(all))
	}

	s = stream(t, here, "owners", store.Bounds{Bytes: 256 << 10, PerOwner: 8})
	must(s.Append(ctx, "quiet.a", "", []byte("q")))(t)
	for i := range 1000 {
		must(s.Append(ctx, "loud."+strconv.Itoa(i), "", make([]byte, 4<<10)))(t)
	}
	if quiet := must(s.Last(ctx, "quiet.*", 5))(t); len(quiet) != 1 {
		t.Errorf("of who wrote little, %d messages are left", len(quiet))
	}
	if loud := must(s.Last(ctx, "loud.*", 100))(t); len(loud) < 8 || len(loud) > 40 || loud[len(loud)-1].Subject != "loud.999" {
		t.Errorf("of who wrote much, %d messages are left", len(loud))
	}

	s = stream(t, here, "age", store.Bounds{Age: 150 * time.Millisecond})
	must(s.Append(ctx, "a", "", nil))(t)
	for deadline := time.Now().Add(patience); len(must(s.Read(ctx, "", 0, 1))(t)) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("what is old stays")
		}
	}
}

func testFollow(t *testing.T, here, there store.Store) {
	ctx, s, other := t.Context(), stream(t, here, "follow", store.Bounds{}), stream(t, there, "follow", store.Bounds{})
	for i := range 5 {
		must(s.Append(ctx, "a.b", "", []byte(strconv.Itoa(i))))(t)
		must(s.Append(ctx, "x", "", nil))(t)
	}
	got := make(chan store.Message, 1000)
	cancel, result := background(t, func(ctx context.Context) error {
		return other.Follow(ctx, "a.>", 3, func(m store.Message) error { got <- m; return nil })
	})
	for i := 1; i < 50; i++ {
		if i >= 5 {
			must(s.Append(ctx, "a.b", "", []byte(strconv.Itoa(i))))(t)
			must(s.Append(ctx, "x", "", nil))(t)
		}
		if m := next(t, got, "a message"); string(m.Data) != strconv.Itoa(i) || m.Subject != "a.b" || m.Seq != uint64(2*i+1) || m.Time.IsZero() {
			t.Fatalf("message %d: %+v", i, m)
		}
	}
	cancel()
	if err := next(t, result, "the end of following"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	enough := errors.New("enough")
	if err := s.Follow(ctx, "", 1, func(store.Message) error { return enough }); err != enough {
		t.Errorf("the error of each: %v", err)
	}
	// From 0 on nothing comes that was there before.
	fresh := make(chan store.Message, 1000)
	background(t, func(ctx context.Context) error {
		return s.Follow(ctx, "a.>", 0, func(m store.Message) error { fresh <- m; return nil })
	})
	for {
		must(s.Append(ctx, "a.new", "", nil))(t)
		select {
		case m := <-fresh:
			if m.Subject != "a.new" {
				t.Errorf("what was there before: %+v", m)
			}
			return
		case <-time.After(10 * time.Millisecond): // it may not have begun to follow yet
		}
	}
}
