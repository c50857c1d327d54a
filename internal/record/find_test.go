package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

func TestHostOfADecision(t *testing.T) {
	for _, c := range []struct{ kind, target, want string }{
		{"http", "https://api.test/v1", "api.test"}, {"http", "http://api.test:8080", "api.test"}, {"ws", "wss://[::1]:9/x", "::1"}, {"http", "https://[::1]", "::1"},
		{"tcp", "db.test:5432", "db.test"}, {"tls", "[::1]:443", "::1"}, {"udp", "stats.test:8125", "stats.test"}, {"dns", "evil.test", "evil.test"},
		{"dns", "TXT evil.test", "evil.test"}, {"read", "/etc/a:b", ""}, {"exec", "/bin/sh", ""}, {"tcp", "(further connections)", "(further connections)"}, {"http", "", ""},
	} {
		if got := (&Decision{Kind: c.kind, Target: c.target}).Host(); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.kind, c.target, got, c.want)
		}
	}
}

func TestFilter(t *testing.T) {
	deny := Entry{Decision: &Decision{Time: noon, Verdict: Deny, Function: "charge", Kind: "http", Target: "https://api.evil.test/"}}
	many := Entry{Decision: &Decision{Time: noon, Last: noon.Add(time.Hour), Count: 3, Verdict: Allow, Function: "mail", Kind: "tcp", Target: "mail.test:25"}}
	call := Entry{Invocation: &Invocation{Time: noon, Function: "charge"}}
	change := Entry{Change: &Change{Time: noon, Author: "anna", Action: "env.set"}}
	lost := Entry{Dropped: &Dropped{Time: noon, Count: 3}}
	crash := Entry{Resumed: &Resumed{Time: noon}}
	mark := Entry{Checkpoint: &Checkpoint{Time: noon}}
	again := Entry{Resumed: &Resumed{Time: noon, Closed: true}}
	all := []Entry{deny, many, call, change, lost, crash, mark, again}
	for name, c := range map[string]struct {
		f    Filter
		want []Entry
	}{
		"all":              {Filter{}, []Entry{deny, many, call, change, lost, crash}},
		"function":         {Filter{Function: "charge"}, []Entry{deny, call, lost, crash}},
		"function by glob": {Filter{Function: "ch*"}, []Entry{deny, call, lost, crash}},
		"host":             {Filter{Host: "mail.test"}, []Entry{many, lost, crash}},
		"host by glob":     {Filter{Host: "*.evil.test"}, []Entry{deny, lost, crash}},
		"verdict":          {Filter{Verdict: Deny}, []Entry{deny, lost, crash}},
		"kind":             {Filter{Kind: "tcp"}, []Entry{many, lost, crash}},
		"invocations":      {Filter{Kind: "invocation"}, []Entry{call, lost, crash}},
		"changes":          {Filter{Kind: "change"}, []Entry{change, lost, crash}},
		"since":            {Filter{Since: noon.Add(time.Minute)}, []Entry{many}},
		"until":            {Filter{Until: noon.Add(-time.Minute)}, nil},
		"at":               {Filter{Since: noon, Until: noon}, []Entry{deny, many, call, change, lost, crash}},
	} {
		var got []Entry
		for _, e := range all {
			if c.f.Match(&e) {
				got = append(got, e)
			}
		}
		if !slices.EqualFunc(got, c.want, func(a, b Entry) bool {
			return a.Decision == b.Decision && a.Invocation == b.Invocation && a.Change == b.Change && a.Dropped == b.Dropped && a.Resumed == b.Resumed
		}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if (&Filter{Host: "["}).Valid() == nil || (&Filter{Function: "a*", Host: "*.b"}).Valid() != nil {
		t.Error("which globs are valid")
	}
}

func TestReadFilesReadsAllOfAChain(t *testing.T) {
	files := chain(t, 3, FileOptions{})
	n, last := 0, ""
	if err := ReadFiles(files[2], func(e Entry) error {
		if e.Invocation != nil {
			n, last = n+1, e.Invocation.Request
		}
		return nil
	}); err != nil || last != "last" || n != len(requests(t, files)) {
		t.Errorf("%v: %d records, the last is %s", err, n, last)
	}
	if err := ReadFiles(filepath.Join(t.TempDir(), "x"), nil); weir.ErrorCode(err) != weir.NotFound {
		t.Errorf("error %v", err)
	}
}

// TestFollow follows a file that is written, rotated and closed meanwhile.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{MaxSize: 4000})
	invoked(f, 0, 3)
	got, ended, reached := make(chan string), make(chan error, 1), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- Follow(ctx, path, Filter{}, -1, func(e Entry) error {
			if e.Invocation != nil {
				got <- e.Invocation.Request
			}
			return nil
		}, func() { close(reached) })
	}()
	expect := func(from, to int) {
		for _, want := range numbers(from, to) {
			select {
			case r := <-got:
				if r != want {
					t.Fatalf("record %s, want %s", r, want)
				}
			case err := <-ended:
				t.Fatalf("ended before record %s: %v", want, err)
			}
		}
	}
	expect(0, 3)
	<-reached
	invoked(f, 3, 100) // several files, faster than anybody looks
	expect(3, 100)
	f.Close()
	f = open(t, path, FileOptions{MaxSize: 4000})
	invoked(f, 100, 103)
	expect(100, 103)
	f.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFollowBeginsInFullFiles: where the last records are, or those since a time, a full file is no end.
func TestFollowBeginsInFullFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{MaxSize: 2000})
	var times []time.Time
	for i := 0; len(rotated(path)) < 2; i++ {
		times = append(times, time.Now())
		f.Invoked(Invocation{Time: times[i], Function: "fn", Request: fmt.Sprint(i), Outcome: "ok"})
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	all := numbers(0, len(times))
	kind := Filter{Kind: "invocation"}
	for _, c := range []struct {
		filter Filter
		last   int
		want   []string
	}{
		{kind, 0, nil}, {kind, 1, all[len(all)-1:]}, {kind, len(all) - 1, all[1:]}, {kind, 2 * len(all), all}, {kind, -1, all},
		{Filter{Kind: "invocation", Since: times[1]}, -1, all[1:]},
		{Filter{Kind: "invocation", Since: times[1]}, 2, all[len(all)-2:]},
		{Filter{Kind: "invocation", Since: time.Now().Add(time.Hour)}, 2, nil},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		err := Follow(ctx, path, c.filter, c.last, func(e Entry) error {
			got = append(got, e.Invocation.Request)
			return nil
		}, cancel)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v, last %d: %v, want %v (%v)", c.filter, c.last, got, c.want, err)
		}
	}
}

func TestFollowEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	if err := Follow(t.Context(), path, Filter{}, -1, nil, nil); weir.ErrorCode(err) != weir.NotFound {
		t.Errorf("error %v", err)
	}
	write(t, path, []byte(invLine+"\n"+invLine))
	stop := errors.New("stop")
	if err := Follow(t.Context(), path, Filter{}, -1, func(Entry) error { return stop }, nil); err != stop {
		t.Errorf("error %v", err)
	}
	err := Follow(t.Context(), path, Filter{}, -1, func(Entry) error { return nil }, func() {
		if err := os.Truncate(path, 3); err != nil {
			t.Error(err)
		}
	})
	if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("error %v", err)
	}
}

// TestFollowWaitsForTheEndOfALine: a line that is half written is given when it is whole, and one that
// the next writer took away is not given.
func TestFollowWaitsForTheEndOfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	write(t, path, []byte(invLine+"\n"+invLine[:20]))
	n := 0
	done := errors.New("done")
	err := Follow(t.Context(), path, Filter{}, -1, func(e Entry) error {
		if n++; n == 2 {
			if e.Decision == nil {
				t.Errorf("%q", e.Raw)
			}
			return done
		}
		return nil
	}, func() { write(t, path, []byte(invLine+"\n"+allowLine+"\n")) })
	if err != done {
		t.Error(err)
	}
}
