package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/natsstore"
	"github.com/weir-run/weir/internal/weir"
)

func openStore(t *testing.T) store.Store {
	t.Helper()
	s, err := natsstore.Open(t.Context(), natsstore.Options{Dir: t.TempDir()})
	ok(t, err)
	t.Cleanup(s.Close)
	return s
}

func open(t *testing.T, o Options) *Service {
	t.Helper()
	s, err := Open(t.Context(), o)
	ok(t, err)
	t.Cleanup(s.Close)
	return s
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func line(site, function, request, text string) Line {
	return Line{Time: time.Now().UTC(), Site: site, Deploy: "d", Function: function, Instance: "i", Request: request, Stream: "stdout", Text: text}
}

func texts(t *testing.T, s *Service, q Query) (out []string) {
	t.Helper()
	s.Flush(t.Context())
	all, err := s.Past(t.Context(), q)
	ok(t, err)
	for _, l := range all {
		out = append(out, l.Text)
	}
	return out
}

func TestPast(t *testing.T) {
	s := open(t, Options{Store: openStore(t)})
	first, second := ulid.Make().String(), ulid.Make().String()
	var middle time.Time
	for i := range 1200 { // more than a page
		s.Add(line("a", "fn", "", strconv.Itoa(i)))
		if i == 600 {
			s.Flush(t.Context())
			middle = time.Now()
			s.Add(line("a", "other", first, "first"))
			s.Add(line("a", "other", second, "second"))
			s.Add(Line{Time: time.Now(), Site: "a", Function: "other", Among: []string{"x", second}, Stream: "stderr", Text: "of one of them"})
			s.Add(line("b", "fn", first, "of another site"))
		}
		if i%2 == 0 {
			s.Flush(t.Context())
		}
	}
	if got := texts(t, s, Query{Site: "a", Function: "fn"}); len(got) != 100 || got[0] != "1100" || got[99] != "1199" {
		t.Errorf("the last hundred: %q", got)
	}
	if got := texts(t, s, Query{Site: "a", Limit: 5000}); len(got) != 1203 {
		t.Errorf("%d lines", len(got))
	}
	if got := texts(t, s, Query{Site: "a", Since: middle, Limit: 2000}); len(got) != 602 || got[0] != "first" || got[601] != "1199" {
		t.Errorf("since the middle: %d", len(got))
	}
	if got := texts(t, s, Query{Site: "a", Since: time.Now().Add(time.Hour)}); len(got) != 0 {
		t.Errorf("of the future: %q", got)
	}
	for request, want := range map[string][]string{first: {"first"}, second: {"second", "of one of them"}, "no ULID": nil, ulid.Make().String(): nil} {
		if got := texts(t, s, Query{Site: "a", Request: request}); !slices.Equal(got, want) {
			t.Errorf("of %s: %q", request, got)
		}
	}
	for _, site := range []string{"*", ">", "a.fn", "a.>", "c", "x_61"} {
		if got := texts(t, s, Query{Site: site, Limit: 10}); len(got) != 0 {
			t.Errorf("of site %q: %q", site, got)
		}
	}
	for _, function := range []string{"*", ">", "fn.x"} {
		if got := texts(t, s, Query{Site: "a", Function: function}); len(got) != 0 {
			t.Errorf("of function %q: %q", function, got)
		}
	}
	if _, err := s.Past(t.Context(), Query{}); weir.ErrorCode(err) != weir.Invalid {
		t.Error(err)
	}
	if err := s.Follow(t.Context(), Query{}, nil); weir.ErrorCode(err) != weir.Invalid {
		t.Error(err)
	}
}

// TestFlood: a function that prints without end drops its own lines, is told how many, and hides nobody else's.
func TestFlood(t *testing.T) {
	s := open(t, Options{Store: openStore(t)})
	const n = 20_000
	s.writing.Lock() // the store is slow
	for i := range n {
		s.Add(line("loud", "fn", "", strings.Repeat("x", 100)+strconv.Itoa(i)))
	}
	s.Add(line("loud", "quiet", "", "of the same site"))
	s.Add(line("quiet", "fn", "", "of another"))
	s.writing.Unlock()
	if got := texts(t, s, Query{Site: "quiet"}); !slices.Equal(got, []string{"of another"}) {
		t.Errorf("%q", got)
	}
	if got := texts(t, s, Query{Site: "loud", Function: "quiet"}); !slices.Equal(got, []string{"of the same site"}) {
		t.Errorf("%q", got)
	}
	all, err := s.Past(t.Context(), Query{Site: "loud", Function: "fn", Limit: 2000})
	ok(t, err)
	last := all[len(all)-1]
	var dropped int
	if _, err := fmt.Sscanf(last.Text, "%d lines were dropped", &dropped); err != nil || last.Stream != Dropped || len(all)-1+dropped != n || dropped == n {
		t.Errorf("%d lines are there, then %+v", len(all)-1, last)
	}
}

// TestRoomOfSites: a site that prints without end drives out its own lines, however many functions it has.
func TestRoomOfSites(t *testing.T) {
	s := open(t, Options{Store: openStore(t), Bytes: 2 << 20})
	s.Add(line("quiet", "fn", "", "of another"))
	s.Flush(t.Context())
	for i := range 1000 {
		s.Add(line("loud", "fn"+strconv.Itoa(i%10), "", strings.Repeat("x", maxText)))
		s.Flush(t.Context())
	}
	if got := texts(t, s, Query{Site: "quiet"}); !slices.Equal(got, []string{"of another"}) {
		t.Errorf("%q", got)
	}
	if got := texts(t, s, Query{Site: "loud"}); len(got) < 10 {
		t.Errorf("of the site itself, %d lines are left", len(got))
	}
}

// TestStoreThatTakesNothing: whoever adds a line never waits for it, and what was lost is told when it is back.
func TestStoreThatTakesNothing(t *testing.T) {
	st := openStore(t)
	stream, err := st.Stream(t.Context(), "logs", store.Bounds{})
	ok(t, err)
	at := &failing{Stream: stream, fails: true}
	s := open(t, Options{Store: full{st, at}})
	for range 10 {
		s.Add(line("a", "fn", "", "lost"))
	}
	s.Flush(t.Context())
	at.heal()
	s.Add(line("a", "fn", "", "kept"))
	if got := texts(t, s, Query{Site: "a"}); !slices.Equal(got, []string{"kept", "10 lines were dropped: more came than can be kept"}) {
		t.Errorf("%q", got)
	}
}

// full is a store whose streams are at.
type full struct {
	store.Store
	at store.Stream
}

func (f full) Stream(context.Context, string, store.Bounds) (store.Stream, error) { return f.at, nil }

// failing is a stream that takes nothing for a while.
type failing struct {
	store.Stream
	mu    sync.Mutex
	fails bool
}

func (f *failing) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = false
}

func (f *failing) Append(ctx context.Context, subject, id string, data []byte) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails {
		return 0, errors.New("full")
	}
	return f.Stream.Append(ctx, subject, id, data)
}

func TestBoundOfFunction(t *testing.T) {
	s := open(t, Options{Store: openStore(t), PerFunction: 3})
	s.Add(line("a", "quiet", "", "q"))
	for i := range 10 {
		s.Add(line("a", "loud", "", strconv.Itoa(i)))
		s.Flush(t.Context())
	}
	if got := texts(t, s, Query{Site: "a"}); !slices.Equal(got, []string{"q", "7", "8", "9"}) {
		t.Errorf("%q", got)
	}
}

// TestFollow: between what was there and what comes, nothing is left out and nothing comes twice.
func TestFollow(t *testing.T) {
	s := open(t, Options{Store: openStore(t)})
	const n = 400
	add := func(i int) {
		s.Add(line("a", "fn", "r"+strconv.Itoa(i%2), strconv.Itoa(i)))
		s.Add(line("b", "fn", "r0", "of another site"))
		if i%7 == 0 {
			s.Flush(t.Context())
		}
	}
	for i := range n / 2 {
		add(i)
	}
	var followers sync.WaitGroup
	for _, c := range []struct {
		q    Query
		step int
	}{{Query{Site: "a", Limit: 2000}, 1}, {Query{Site: "a", Function: "fn", Request: "r1", Since: time.Now().Add(-time.Hour)}, 2}} {
		followers.Go(func() {
			want, enough := c.step-1, errors.New("enough")
			if c.q.Limit == 0 { // then the last hundred come
				want = -1
			}
			err := s.Follow(t.Context(), c.q, func(l Line) error {
				if want < 0 {
					want, _ = strconv.Atoi(l.Text)
				}
				if l.Text != strconv.Itoa(want) || l.Site != "a" {
					t.Errorf("got %q, want %d", l.Text, want)
					return enough
				}
				if want += c.step; want >= n {
					return enough
				}
				return nil
			})
			if err != enough {
				t.Error(err)
			}
		})
	}
	for i := n / 2; i < n; i++ {
		add(i)
	}
	s.Flush(t.Context())
	followers.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	fresh := make(chan string, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Follow(ctx, Query{Site: "a"}, func(l Line) error { fresh <- l.Text; return nil })
	}()
	for done := false; !done; {
		s.Add(line("a", "fn", "", "new")) // written within a moment, without anybody's doing
		select {
		case text := <-fresh:
			if done = true; text != "new" {
				t.Errorf("what was there before: %q", text)
			}
		case <-time.After(20 * time.Millisecond): // it may not follow yet
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestHostileLines: whatever a function prints is one line of its own, and stops nothing.
func TestHostileLines(t *testing.T) {
	st := openStore(t)
	s := open(t, Options{Store: st})
	raw, err := st.Stream(t.Context(), "logs", store.Bounds{})
	ok(t, err)
	forged, _ := json.Marshal(line("a", "fn", "", "forged"))
	for _, data := range []string{"", "{", "null", "[]", "\x00\xff", "\n\n", string(forged), `{"invocation":{"site":"a","function":"fn"}}`, `{"invocation":[]}`} {
		_, err := raw.Append(t.Context(), subjectOf("b", "fn"), "", []byte(data))
		ok(t, err)
		_, err = raw.Append(t.Context(), subjectOf("a", "poison"), "", []byte(data))
		ok(t, err)
	}
	hostile := []string{"two\nlines", `{"text":"json"}`, "\x1b[2J\x00", "\xff\xfe", strings.Repeat("ü", maxText), ""}
	for _, text := range hostile {
		s.Add(line("a", "fn", "", text))
	}
	s.Add(line("", "fn", "", "nobody's"))
	s.Add(line("a", "", "", "nobody's"))
	s.Add(line("a", strings.Repeat("n", 5000), "", "no name"))
	s.Add(line("a", "../*>\n", "", "odd name"))
	got := texts(t, s, Query{Site: "a", Function: "fn"})
	if len(got) != len(hostile) || got[0] != hostile[0] || got[1] != hostile[1] || got[2] != hostile[2] || got[5] != "" {
		t.Errorf("%.300q", got)
	}
	if long := got[4]; len(long) > maxText+len("…") || !strings.HasSuffix(long, "ü…") || !utf8.ValidString(long) {
		t.Errorf("a long line has %d bytes", len(long))
	}
	if got := texts(t, s, Query{Site: "a", Function: "../*>\n"}); !slices.Equal(got, []string{"odd name"}) {
		t.Errorf("%q", got)
	}
	if got := texts(t, s, Query{Site: "b"}); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestMessagesAreBounded: how much a site may keep is counted by messages, so none may be large because JSON needs many
// bytes for what it says.
func TestMessagesAreBounded(t *testing.T) {
	st := openStore(t)
	s := open(t, Options{Store: st})
	hostile := strings.Repeat("\x01", 2*maxText)
	s.Add(line("a", "fn", "", hostile))
	s.Add(Line{Site: "a", Function: "fn", Stream: Denied, Text: hostile, Decision: &record.Decision{Target: hostile}})
	s.Invoked(record.Invocation{Site: "a", Function: "fn", Outcome: "error", Error: hostile})
	if got := texts(t, s, Query{Site: "a"}); len(got) != 3 {
		t.Errorf("%d lines", len(got))
	}
	raw, err := st.Stream(t.Context(), "logs", store.Bounds{})
	ok(t, err)
	all, err := raw.Read(t.Context(), "", 0, 10)
	ok(t, err)
	for _, m := range all {
		if len(m.Data) > maxLine {
			t.Errorf("a message of %d bytes", len(m.Data))
		}
	}
}

func TestRecordsAreLines(t *testing.T) {
	s := open(t, Options{Store: openStore(t)})
	var _ record.Recorder = s
	deny := record.Decision{Time: time.Now(), Verdict: record.Deny, Site: "a", Deploy: "d", Function: "fn", Instance: "i", Requests: []string{"r1", "r2"}, Kind: "http",
		Method: "POST", Target: "https://evil.test/", Reason: "no rule names the host", Fix: `http = ["POST https://evil.test/"]`, Source: record.Egress}
	s.Decided(deny)
	monitored := deny
	monitored.Mode, monitored.Target, monitored.Fix = record.Monitor, "https://b.test/", ""
	s.Decided(monitored)
	allow := deny
	allow.Verdict = record.Allow
	s.Decided(allow)
	nobodys := deny
	nobodys.Site = ""
	s.Decided(nobodys)
	s.Invoked(record.Invocation{Time: deny.Time.Add(-10 * time.Millisecond), Site: "a", Deploy: "d", Function: "fn", Request: "r1", Outcome: "error", Millis: 12.3, Cold: true, Error: "TypeError"})
	want := []string{`denied http POST https://evil.test/: no rule names the host; allow with http = ["POST https://evil.test/"]`,
		"would be denied http POST https://b.test/: no rule names the host", "error in 12 ms, cold: TypeError"}
	if got := texts(t, s, Query{Site: "a"}); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	all, err := s.Past(t.Context(), Query{Site: "a", Request: "r2"})
	ok(t, err)
	if begun := all[0].Decision.Time; !all[0].Time.Equal(begun) {
		t.Errorf("a denial of %v stands at %v", begun, all[0].Time)
	}
	if len(all) != 2 || all[0].Stream != Denied || all[0].Decision.Target != deny.Target || all[0].Deploy != "d" {
		t.Errorf("%+v", all)
	}
	if all, err = s.Past(t.Context(), Query{Site: "a", Request: "r1"}); err != nil || len(all) != 3 || all[2].Stream != Invoked || all[2].Invocation.Outcome != "error" {
		t.Errorf("%+v %v", all, err)
	}
}

// TestClosing: what was added before is kept.
func TestClosing(t *testing.T) {
	st := openStore(t)
	s, err := Open(t.Context(), Options{Store: st})
	ok(t, err)
	s.Add(line("a", "fn", "", "last words"))
	s.Close()
	if got := texts(t, open(t, Options{Store: st}), Query{Site: "a"}); !slices.Equal(got, []string{"last words"}) {
		t.Errorf("%q", got)
	}
}

func FuzzLines(f *testing.F) {
	f.Add("a.fn", []byte(`{"site":"a","function":"fn","text":"x"}`+"\n{"))
	f.Add("a.fn", []byte(`{"site":"a","function":"fn","invocation":{"site":"b","function":"fn"}}`))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		for _, l := range lines(store.Message{Subject: subject, Data: data}) {
			if subjectOf(l.Site, l.Function) != subject {
				t.Errorf("%q holds a line of another", subject)
			}
		}
	})
}
