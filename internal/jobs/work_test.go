package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

func TestFailedRunsAreRepeatedTwiceAndThenDeadLetters(t *testing.T) {
	c, r := newClock(noon), newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: c})
	ok(t, s.Accept(t.Context(), job("a", "1")))
	for i, pause := range []time.Duration{time.Minute, 2 * time.Minute} {
		run := r.next(t)
		if run.job.ID != "1" || run.job.Deploy != "d1" || run.job.Function != "fn" || string(run.job.Event) != `{"body":"of 1"}` || run.job.Limit != 15*time.Minute {
			t.Errorf("%+v", run.job)
		}
		run.ends("error", "Error: no\x1b[2J")
		until(t, "a pause", func() bool { l := s.List("a"); return len(l) == 1 && l[0].State == Waiting })
		if l := s.List("a")[0]; !l.Next.Equal(c.Now().Add(pause)) || l.Runs != i+1 || l.Error != "error: Error: no�[2J" {
			t.Errorf("after run %d: %+v", i+1, l)
		}
		r.none(t)
		c.move(pause)
	}
	r.next(t).ends("crashed", "")
	until(t, "a dead letter", func() bool { return len(s.DeadLetters("a")) == 1 })
	if d := s.DeadLetters("a")[0]; d.Runs != 3 || d.State != Dead || d.Size != len(`{"body":"of 1"}`) || !d.Died.Equal(c.Now()) || len(s.List("a")) != 0 {
		t.Errorf("%+v", d)
	}
	if text, _ := json.Marshal(s.DeadLetters("a")); strings.Contains(string(text), "body") {
		t.Error("the event is shown")
	}
	if len(s.DeadLetters("b")) != 0 || weir.ErrorCode(s.Replay(t.Context(), "b", "1")) != weir.NotFound || weir.ErrorCode(s.Drop(t.Context(), "b", "1")) != weir.NotFound {
		t.Error("a site sees what is another's")
	}
	ok(t, s.Replay(t.Context(), "a", "1"))
	run := r.next(t)
	if code := weir.ErrorCode(s.Drop(t.Context(), "a", "1")); code != weir.Conflict {
		t.Error("what runs was dropped:", code)
	}
	run.ends(OK, "")
	until(t, "the end", func() bool { return len(s.List("a"))+len(s.DeadLetters("a")) == 0 })
	if keys, err := s.events.Keys(t.Context(), ""); len(keys) != 0 || err != nil {
		t.Error("events are left:", keys, err)
	}
}

func TestDroppedLetters(t *testing.T) {
	r := newRunner()
	r.ends = func(Job) (Outcome, error) {
		return Outcome{}, &weir.Error{Code: weir.NotFound, Message: "the deploy is gone"}
	}
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: newClock(noon)})
	ok(t, s.Accept(t.Context(), job("a", "1")))
	until(t, "a dead letter", func() bool { return len(s.DeadLetters("a")) == 1 })
	if d := s.DeadLetters("a")[0]; d.Runs != 0 || d.Error != "the deploy is gone" {
		t.Errorf("what can't be run at all: %+v", d)
	}
	ok(t, s.Drop(t.Context(), "a", "1"))
	if len(s.DeadLetters("a")) != 0 {
		t.Error("it is still there")
	}
}

// TestEverySingleJobIsRunOnce: many at once, on two servers, some of them twice.
func TestEverySingleJobIsRunOnce(t *testing.T) {
	st, r := openStore(t), newRunner()
	r.ends = func(Job) (Outcome, error) { return Outcome{OK, ""}, nil }
	a, _ := serve(t, Options{Store: st, Runner: r})
	b, _ := serve(t, Options{Store: st, Runner: r})
	const n = 60
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			j := job(fmt.Sprint("site", i%3), fmt.Sprint(i))
			if err := []*Service{a, b}[i%2].Accept(t.Context(), j); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for range n {
		seen[r.next(t).job.ID]++
	}
	until(t, "the end", func() bool {
		return len(a.infos(func(*row) bool { return true }))+len(b.infos(func(*row) bool { return true })) == 0
	})
	r.none(t)
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s ran %d times", id, times)
		}
	}
}

func TestSameJobTwice(t *testing.T) {
	r := newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: newClock(noon)})
	ok(t, s.Accept(t.Context(), job("a", "1")))
	ok(t, s.Accept(t.Context(), job("a", "1")))
	run := r.next(t)
	ok(t, s.Accept(t.Context(), job("a", "1")))
	if n := len(s.List("a")); n != 1 {
		t.Error(n)
	}
	run.ends(OK, "")
	until(t, "the end", func() bool { return len(s.List("a")) == 0 })
	r.none(t)
}

// TestNoisySiteDelaysItself: it never has all the room, and others go first.
func TestNoisySiteDelaysItself(t *testing.T) {
	r := newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: newClock(noon), Concurrency: 4})
	for i := range 30 {
		ok(t, s.Accept(t.Context(), job("noisy", fmt.Sprint("n", i))))
	}
	first := []call{r.next(t), r.next(t)}
	for i := range 3 {
		ok(t, s.Accept(t.Context(), job("quiet", fmt.Sprint("q", i))))
	}
	for range 2 {
		if run := r.next(t); run.job.Site != "quiet" {
			t.Errorf("%s runs while others wait", run.job.ID)
		}
	}
	r.none(t)
	first[0].ends(OK, "")
	if run := r.next(t); run.job.Site != "noisy" { // quiet has its half
		t.Errorf("%s runs", run.job.ID)
	}
}

func TestWhatIsAccepted(t *testing.T) {
	r := newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: newClock(noon), PerSite: 3, SiteBytes: 400 << 10})
	large := job("large", "1")
	large.Event = json.RawMessage(`"` + strings.Repeat("x", MaxEvent-2) + `"`)
	ok(t, s.Accept(t.Context(), large))
	if run := r.next(t); string(run.job.Event) != string(large.Event) {
		t.Error("a large event arrives otherwise")
	}
	for _, c := range []struct {
		change func(*Job)
		want   weir.Code
	}{
		{func(j *Job) { j.ID, j.Site, j.Event = "2", "large", large.Event }, weir.Busy}, // bytes
		{func(j *Job) { j.Event = append(large.Event, ' ') }, weir.TooLarge},
		{func(j *Job) { j.Event = json.RawMessage(`{"a":`) }, weir.Invalid},
		{func(j *Job) { j.Event = nil }, weir.Invalid},
		{func(j *Job) { j.ID = "" }, weir.Invalid},
		{func(j *Job) { j.Site = "" }, weir.Invalid},
	} {
		j := job("a", "x")
		c.change(&j)
		if err := s.Accept(t.Context(), j); weir.ErrorCode(err) != c.want {
			t.Errorf("%.60v: %v", j, err)
		}
	}
	var wg sync.WaitGroup
	results := make(chan error, 10)
	for i := range 10 { // at once
		wg.Go(func() { results <- s.Accept(t.Context(), job("flood", fmt.Sprint(i))) })
	}
	wg.Wait()
	busy := 0
	for range 10 {
		if err := <-results; weir.ErrorCode(err) == weir.Busy {
			busy++
		} else if err != nil {
			t.Error(err)
		}
	}
	if busy != 7 {
		t.Errorf("%d of 10 were refused, and 3 fit", busy)
	}
	ok(t, s.Accept(t.Context(), job("../*>\n", "..")))
	for r.next(t).job.Site != "../*>\n" {
	}
}

// TestServerThatIsLost: what it had is taken over when it has been silent for a while, and its run counts.
func TestServerThatIsLost(t *testing.T) {
	c, r, st := newClock(noon), newRunner(), openStore(t)
	lost, err := Open(t.Context(), Options{Store: st, Runner: r, Clock: c})
	ok(t, err)
	t.Cleanup(lost.Close)
	for id, runs := range map[string]int{"first": 1, "last": 3} {
		ok(t, lost.Accept(t.Context(), job("a", id)))
		row := lost.table[keyOf("a", id)]
		began := row.state
		began.State, began.Server, began.Runs = Running, "lost", runs
		_, err := lost.change(t.Context(), began, row.revision)
		ok(t, err)
	}
	s, _ := serve(t, Options{Store: st, Runner: r, Clock: c})
	r.none(t)
	c.move(31 * time.Second)
	run := r.next(t)
	if run.job.ID != "first" || s.List("a")[0].Runs != 2 {
		t.Errorf("%s, %+v", run.job.ID, s.List("a"))
	}
	until(t, "a dead letter", func() bool { return len(s.DeadLetters("a")) == 1 })
	if d := s.DeadLetters("a")[0]; d.ID != "last" || d.Runs != 3 || !strings.Contains(d.Error, "lost") {
		t.Errorf("%+v", d)
	}
	r.none(t)
}

// TestJobThatWasTakenOver: its first server ends its run, and settles nothing.
func TestJobThatWasTakenOver(t *testing.T) {
	c, r := newClock(noon), newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: c})
	ok(t, s.Accept(t.Context(), job("a", "1")))
	run := r.next(t)
	e, err := s.jobs.Get(t.Context(), keyOf("a", "1"))
	ok(t, err)
	theirs, err := readState(e.Key, e.Value)
	ok(t, err)
	theirs.Server, theirs.Runs = "other", 2
	value, _ := json.Marshal(theirs)
	_, err = s.jobs.Update(t.Context(), e.Key, value, e.Revision)
	ok(t, err)
	c.moveWhen(t, 10*time.Second)
	<-run.ctx.Done()
	until(t, "the end of the run", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.running["a"] == 0 })
	e, err = s.jobs.Get(t.Context(), keyOf("a", "1"))
	if err != nil || string(e.Value) != string(value) {
		t.Errorf("%s %v", e.Value, err)
	}
}

// TestLongRunStaysOurs: it is renewed, however long it takes, and ended when it may take no longer.
func TestLongRunStaysOurs(t *testing.T) {
	c, r, st := newClock(noon), newRunner(), openStore(t)
	s, _ := serve(t, Options{Store: st, Runner: r, Clock: c, Lease: 33 * time.Second})
	ok(t, s.Accept(t.Context(), job("a", "1")))
	run := r.next(t)
	other, _ := serve(t, Options{Store: st, Runner: r, Clock: c})
	revision := func() uint64 {
		other.mu.Lock()
		defer other.mu.Unlock()
		return other.table[keyOf("a", "1")].revision
	}
	for run.ctx.Err() == nil {
		before := revision()
		c.moveWhen(t, 11*time.Second) // nobody else waits for that
		until(t, "a renewal", func() bool { return revision() > before || run.ctx.Err() != nil })
		r.none(t)
	}
	until(t, "a pause", func() bool { l := s.List("a"); return len(l) == 1 && l[0].State == Waiting })
	if l := s.List("a")[0]; l.Runs != 1 || !strings.Contains(l.Error, "15m") || c.Now().Before(noon.Add(15*time.Minute)) {
		t.Errorf("%+v", l)
	}
}

// TestNoRoom: a run that was not begun does not count, but doesn't wait for ever.
func TestNoRoom(t *testing.T) {
	c, r := newClock(noon), newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: c})
	ok(t, s.Accept(t.Context(), job("a", "1")))
	for _, err := range []error{&weir.Error{Code: weir.Busy, Message: "no room"}, &weir.Error{Code: weir.Unavailable, Message: "no room"}, errors.New("no room")} {
		r.next(t).end <- result{err: err}
		until(t, "a pause", func() bool { return s.List("a")[0].State == Waiting })
		if l := s.List("a")[0]; l.Runs != 0 || l.Error != "no room" || !l.Next.After(c.Now()) {
			t.Errorf("%+v", l)
		}
		c.move(30 * time.Second)
	}
	c.move(24 * time.Hour)
	r.next(t).end <- result{err: &weir.Error{Code: weir.Unavailable, Message: "no room"}}
	until(t, "a dead letter", func() bool { return len(s.DeadLetters("a")) == 1 })
}

// TestServerThatStops: a run that ends soon ends, another is given back, and its run counts.
func TestServerThatStops(t *testing.T) {
	c, r, st := newClock(noon), newRunner(), openStore(t)
	s, stop := serve(t, Options{Store: st, Runner: r, Clock: c})
	ok(t, s.Accept(t.Context(), job("a", "short")))
	ok(t, s.Accept(t.Context(), job("a", "long")))
	runs := map[string]call{}
	for range 2 {
		run := r.next(t)
		runs[run.job.ID] = run
	}
	stopped := make(chan bool)
	go func() { stop(); close(stopped) }()
	runs["short"].ends(OK, "")
	until(t, "the short one", func() bool { return len(s.List("a")) == 1 })
	if runs["long"].ctx.Err() != nil {
		t.Error("the long one had no time")
	}
	until(t, "the end", func() bool {
		c.move(time.Second)
		select {
		case <-stopped:
			return true
		default:
			return false
		}
	})
	serve(t, Options{Store: st, Runner: r, Clock: c})
	if run := r.next(t); run.job.ID != "long" {
		t.Error(run.job.ID)
	}
	r.none(t)
}

// TestPoison: what can't be read, and what lacks its event, stops nothing else.
func TestPoison(t *testing.T) {
	c, r, st := newClock(noon), newRunner(), openStore(t)
	kv, err := st.KV(t.Context(), "jobs")
	ok(t, err)
	for key, value := range map[string]string{
		"a.1": "", "a.2": "{", "a.3": "null", "a.4": `{"id":"other","site":"a","state":"waiting"}`, "a.5": `{"id":"5","site":"a","state":"new"}`,
		"a.6": "\x00\xff", "x": `{}`, "a.b.c.d": `[]`, "a.7": `{"id":"7","site":"a","state":"waiting","runs":-1e99}`,
		"a.lost": `{"id":"lost","site":"a","function":"fn","state":"waiting"}`,
	} {
		_, err := kv.Put(t.Context(), key, []byte(value))
		ok(t, err)
	}
	s, _ := serve(t, Options{Store: st, Runner: r, Clock: c})
	ok(t, s.Accept(t.Context(), job("a", "good")))
	run := r.next(t)
	if run.job.ID != "good" {
		t.Errorf("%+v", run.job)
	}
	run.ends(OK, "")
	until(t, "a dead letter", func() bool { return len(s.DeadLetters("a")) == 1 && len(s.List("a")) == 0 })
	if d := s.DeadLetters("a")[0]; d.ID != "lost" || !strings.Contains(d.Error, "event is lost") {
		t.Errorf("%+v", d)
	}
	r.none(t)
}

// TestEventOfAJobToCome: a server whose clock is ahead takes no event for one that was left.
func TestEventOfAJobToCome(t *testing.T) {
	c, st := newClock(time.Now().AddDate(10, 0, 0)), openStore(t)
	kv, err := st.KV(t.Context(), "jobevents")
	ok(t, err)
	_, err = kv.Put(t.Context(), "a.1", []byte("{}"))
	ok(t, err)
	serve(t, Options{Store: st, Runner: newRunner(), Clock: c})
	c.moveWhen(t, time.Minute) // it has swept
	if _, err := kv.Get(t.Context(), "a.1"); err != nil {
		t.Error(err)
	}
}

// TestWhatIsLeft: old and too many dead letters go, and events that belong to nothing.
func TestWhatIsLeft(t *testing.T) {
	c, r, st := newClock(time.Now()), newRunner(), openStore(t)
	r.ends = func(Job) (Outcome, error) { return Outcome{}, &weir.Error{Code: weir.NotFound, Message: "no"} }
	s, _ := serve(t, Options{Store: st, Runner: r, Clock: c, PerSite: 5})
	for i := range 8 {
		ok(t, s.Accept(t.Context(), job("a", fmt.Sprint(i))))
		until(t, "a dead letter", func() bool { return len(s.List("a")) == 0 })
		c.move(time.Second)
	}
	until(t, "the bound", func() bool { return len(s.DeadLetters("a")) == 5 })
	_, err := s.events.Put(t.Context(), "a.orphan", []byte("{}"))
	ok(t, err)
	c.move(2 * time.Hour)
	c.moveWhen(t, time.Minute) // it has swept
	c.move(2 * time.Hour)
	until(t, "order", func() bool {
		keys, err := s.events.Keys(t.Context(), "")
		return err == nil && len(keys) == 5 && len(s.DeadLetters("a")) == 5
	})
	if d := s.DeadLetters("a"); d[0].ID != "3" || d[4].ID != "7" {
		t.Errorf("the oldest don't go first: %+v", d)
	}
	c.move(31 * 24 * time.Hour)
	until(t, "the end of the dead letters", func() bool { return len(s.DeadLetters("a")) == 0 })
}
