package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

func FuzzState(f *testing.F) {
	f.Add("a.1", []byte(`{"id":"1","site":"a","state":"waiting"}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if st, err := readState(key, value); err == nil && keyOf(st.Site, st.ID) != key {
			t.Errorf("%q reads as a job of another key", value)
		}
	})
}

func published(crons ...string) Published {
	p := Published{Deploy: "d1", URL: "https://a.test", Crons: map[string]string{}}
	for i := 0; i < len(crons); i += 2 {
		p.Crons[crons[i]] = crons[i+1]
	}
	return p
}

// step gives a service time to see that the clock was moved: it waits again, for a tick that comes after now.
func step(t *testing.T, c *clock, s ...*Service) {
	t.Helper()
	for _, s := range s {
		until(t, "the schedules", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, p := range s.plans {
				for _, f := range p.functions {
					if !f.next.After(c.Now()) {
						return false
					}
				}
			}
			return sum(s.ticking) == 0
		})
	}
}

// TestTickIsRunOnce: by one of two servers, also if their clocks differ.
func TestTickIsRunOnce(t *testing.T) {
	r, st := newRunner(), openStore(t)
	r.ends = func(Job) (Outcome, error) { return Outcome{OK, ""}, nil }
	early, late := newClock(noon.Add(20*time.Second)), newClock(noon.Add(-25*time.Second))
	a, _ := serve(t, Options{Store: st, Runner: r, Clock: early})
	b, _ := serve(t, Options{Store: st, Runner: r, Clock: late})
	for _, s := range []*Service{a, b} {
		ok(t, s.SetSchedules("a", published("every", "* * * * *", "hourly", "@hourly")))
	}
	const minutes = 61
	for range minutes * 2 {
		early.move(30 * time.Second)
		step(t, early, a)
		late.move(30 * time.Second)
		step(t, late, b)
	}
	runs := map[string]int{}
	for len(r.calls) > 0 {
		runs[(<-r.calls).job.Function]++
	}
	// The late clock stood before noon, so it may have run a tick that the early one had behind it.
	if runs["every"] < minutes || runs["every"] > minutes+1 || runs["hourly"] < 1 || runs["hourly"] > 2 {
		t.Errorf("%v", runs)
	}
}

func TestScheduledRun(t *testing.T) {
	c, r, st := newClock(noon), newRunner(), openStore(t)
	s, stop := serve(t, Options{Store: st, Runner: r, Clock: c})
	err := s.SetSchedules("a", published("good", "30 * * * *", "bad", "every now and then"))
	if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "every now and then") {
		t.Error(err)
	}
	if all, err := s.Schedules(t.Context(), "a"); err != nil || len(all) != 1 || !all[0].Next.Equal(noon.Add(30*time.Minute)) || !all[0].Last.IsZero() {
		t.Errorf("%+v %v", all, err)
	}
	c.move(30 * time.Minute)
	run := r.next(t)
	checkEvent(t, run.job)
	run.ends("error", "Error: no")
	until(t, "the outcome", func() bool {
		all, err := s.Schedules(t.Context(), "a")
		return err == nil && all[0].Outcome == "error" && all[0].Error == "Error: no" && all[0].Last.Equal(noon.Add(30*time.Minute)) && all[0].Next.Equal(noon.Add(90*time.Minute))
	})
	if len(s.List("a"))+len(s.DeadLetters("a")) != 0 {
		t.Error("a scheduled run is repeated")
	}

	// The same schedule in a new deploy runs what is new.
	p := published("good", "30 * * * *")
	p.Deploy = "d2"
	ok(t, s.SetSchedules("a", p))
	c.move(time.Hour)
	if run = r.next(t); run.job.Deploy != "d2" {
		t.Error(run.job.Deploy)
	}
	c.moveWhen(t, 30*time.Second)
	<-run.ctx.Done()
	until(t, "the outcome", func() bool {
		all, err := s.Schedules(t.Context(), "a")
		return err == nil && all[0].Outcome == "timed_out"
	})

	// What was missed while no server ran is not made up for.
	stop()
	c.move(24 * time.Hour)
	s, _ = serve(t, Options{Store: st, Runner: r, Clock: c})
	ok(t, s.SetSchedules("a", p))
	if all, err := s.Schedules(t.Context(), "a"); err != nil || !all[0].Next.After(c.Now()) {
		t.Errorf("%+v %v", all, err)
	}
	r.none(t)
	ok(t, s.SetSchedules("a", Published{}))
	if all, err := s.Schedules(t.Context(), "a"); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
}

// checkEvent holds an event to what netlify-cli 27.10.2 gives a scheduled function.
func checkEvent(t *testing.T, j Job) {
	t.Helper()
	var e struct {
		RawURL, Path, HTTPMethod, Body string
		Headers                        map[string]string
		MultiValueHeaders              map[string][]string
		IsBase64Encoded                bool
	}
	ok(t, json.Unmarshal(j.Event, &e))
	if e.RawURL != "https://a.test/.netlify/functions/good" || e.Path != "/.netlify/functions/good" || e.HTTPMethod != "POST" || e.IsBase64Encoded ||
		e.Body != `{"next_run":"2026-03-01T13:30:00.000Z"}` || e.Headers["X-NF-Event"] != "schedule" || e.Headers["user-agent"] != "Netlify Clockwork" ||
		e.Headers["x-nf-request-id"] != j.ID || e.Headers["host"] != "a.test" || e.MultiValueHeaders["X-NF-Event"][0] != "schedule" {
		t.Errorf("%s", j.Event)
	}
	if j.Deploy != "d1" || j.Site != "a" || j.Function != "good" || j.Limit != 30*time.Second || j.ID == "" {
		t.Errorf("%+v", j)
	}
}

// TestClockThatJumps: what is long past is left out, and what was run is not run again.
func TestClockThatJumps(t *testing.T) {
	c, r := newClock(noon), newRunner()
	r.ends = func(Job) (Outcome, error) { return Outcome{OK, ""}, nil }
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: c})
	ok(t, s.SetSchedules("a", published("fn", "*/10 * * * *")))
	count := func() int {
		t.Helper()
		step(t, c, s)
		n := len(r.calls)
		for range n {
			<-r.calls
		}
		return n
	}
	for _, j := range []struct {
		jump time.Duration
		runs int
	}{
		{10 * time.Minute, 1},
		{3*time.Hour + 5*time.Minute, 0}, // the last tick would be 5 minutes ago, but the one that was waited for is 3 hours
		{5 * time.Minute, 1},
		{19 * time.Minute, 1}, // two at once
		{-2 * time.Hour, 0},
		{2 * time.Hour, 0},
		{11 * time.Minute, 1},
	} {
		c.move(j.jump)
		if n := count(); n != j.runs {
			t.Errorf("after a jump by %v: %d runs, want %d", j.jump, n, j.runs)
		}
	}
}

// TestClockThatWasAhead: when a clock is set back by years, nothing waits for the time that it showed.
func TestClockThatWasAhead(t *testing.T) {
	ahead := noon.AddDate(10, 0, 0)
	c, r := newClock(ahead), newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: c})
	ok(t, s.SetSchedules("a", published("tick", "@hourly")))
	ok(t, s.Accept(t.Context(), job("a", "1")))
	r.next(t).ends("error", "no")
	until(t, "a pause", func() bool { l := s.List("a"); return len(l) == 1 && l[0].State == Waiting })
	c.move(noon.Sub(ahead))
	s.look() // it does so itself every minute, whatever the clock shows
	until(t, "the schedule", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.plans["a"].functions["tick"].next.Equal(noon.Add(time.Hour))
	})
	c.move(2 * time.Minute)
	run := r.next(t)
	run.ends(OK, "")
	if run.job.ID != "1" {
		t.Errorf("the job did not run again, but %+v", run.job)
	}
	c.move(time.Hour)
	if run := r.next(t); run.job.Function != "tick" {
		t.Errorf("the schedule was not followed: %+v", run.job)
	}
}

// TestJobsOfAServerFromTheFuture: a server that starts after its clock was set back begins what waits.
func TestJobsOfAServerFromTheFuture(t *testing.T) {
	ahead, st := newClock(noon.AddDate(10, 0, 0)), openStore(t)
	before, err := Open(t.Context(), Options{Store: st, Runner: newRunner(), Clock: ahead})
	ok(t, err)
	ok(t, before.Accept(t.Context(), job("a", "1")))
	before.Close()
	c, r := newClock(noon), newRunner()
	serve(t, Options{Store: st, Runner: r, Clock: c})
	for range 2 {
		c.moveWhen(t, time.Minute)
	}
	if run := r.next(t); run.job.ID != "1" {
		t.Errorf("%+v", run.job)
	}
}

// TestServerFromTheFuture: a clock that is far ahead does not end a schedule for the others.
func TestServerFromTheFuture(t *testing.T) {
	c, r := newClock(noon), newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: c})
	value, _ := json.Marshal(tick{Site: "a", Function: "fn", Tick: noon.AddDate(14, 0, 0)})
	_, err := s.ticks.Put(t.Context(), keyOf("a", "fn"), value)
	ok(t, err)
	_, err = s.ticks.Put(t.Context(), keyOf("a", "poison"), []byte("{"))
	ok(t, err)
	ok(t, s.SetSchedules("a", published("fn", "@hourly", "poison", "@hourly")))
	c.move(time.Hour)
	if got := map[string]bool{r.next(t).job.Function: true, r.next(t).job.Function: true}; !got["fn"] || !got["poison"] {
		t.Error(got)
	}
}

func TestRunNow(t *testing.T) {
	c, r := newClock(noon), newRunner()
	s, _ := serve(t, Options{Store: openStore(t), Runner: r, Clock: c, Concurrency: 1})
	ok(t, s.SetSchedules("a", published("good", "30 12 * * *")))
	if _, err := s.RunNow(t.Context(), "a", "other"); weir.ErrorCode(err) != weir.NotFound {
		t.Error(err)
	}
	if _, err := s.RunNow(t.Context(), "b", "good"); weir.ErrorCode(err) != weir.NotFound {
		t.Error(err)
	}
	c.move(45 * time.Second)
	ended := make(chan result, 1)
	go func() { out, err := s.RunNow(t.Context(), "a", "good"); ended <- result{out, err} }()
	run := r.next(t)
	if _, err := s.RunNow(t.Context(), "a", "good"); weir.ErrorCode(err) != weir.Busy {
		t.Error("more at a time than may be:", err)
	}
	ok(t, s.SetSchedules("b", published("fn", "* * * * *")))
	c.move(15 * time.Second) // while all that may be is run by hand
	if tick := r.next(t); tick.job.Site != "b" {
		t.Errorf("%+v", tick.job)
	} else {
		tick.ends(OK, "")
	}
	ok(t, s.SetSchedules("b", published()))
	run.ends("error", "Error: no")
	if got := next(t, ended); got.out.Outcome != "error" || got.out.Error != "Error: no" || got.err != nil {
		t.Errorf("%+v", got)
	}
	c.move(30 * time.Minute) // it counted as no tick
	r.next(t)
}
