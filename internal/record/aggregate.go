package record

// A flood of decisions must cost little, and must hide nothing: neither what came with it nor who saw
// it. Equal ones are counted, and no function can crowd out what another one tried.

import (
	"strings"
	"sync"
	"time"
)

// window is how long equal decisions are counted before they become one line.
const window = time.Second

// maxKeys bounds how many different decisions of one origin are told apart
// within one window.
const maxKeys = 1024

// key is what equal decisions share. Source is part of it: code inside a process, whose word is
// advisory, can tell of anything, and a fact must never be counted under its word.
type key struct {
	site, deploy, function, instance, request, kind, method, target, reason, rule, mode string
	imported                                                                            bool
	verdict                                                                             Verdict
	source, confirmed                                                                   Source
}

// origin is whose decisions share one bound. What code inside a process tells can't crowd out the
// facts about it, what is allowed can't crowd out what is denied, nor one function another, of its own or another site.
type origin struct {
	site, function string
	source         Source
	verdict        Verdict
}

// aggregator lets the first of equal decisions through at once, counts the others, and gives them as
// one when the window ends: a flood costs little and nothing is lost silently.
type aggregator struct {
	emit func(Decision)
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	seen map[key]*Decision // counted since the first; Count 0: only the first so far
	keys map[origin]int    // how many different ones are told apart
}

func newAggregator(emit func(Decision)) *aggregator {
	a := &aggregator{emit: emit, stop: make(chan struct{}), seen: map[key]*Decision{}, keys: map[origin]int{}}
	a.done.Go(a.run)
	return a
}

func (a *aggregator) run() {
	tick := time.NewTicker(window)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.flush()
		case <-a.stop:
			a.flush()
			return
		}
	}
}

// add gives a decision on at once, its texts cut to their bounds, or counts it.
func (a *aggregator) add(d Decision) {
	for _, s := range d.texts() {
		*s = bounded(*s)
	}
	if a.first(&d) {
		a.emit(d)
	}
}

// first tells whether a decision is the first of its kind in this window, and counts it if not. One
// that finds no room becomes one of many.
func (a *aggregator) first(d *Decision) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counted(d) {
		return false
	}
	from := origin{d.Site, d.Function, d.Source, d.Verdict}
	if a.keys[from] >= maxKeys {
		*d = Decision{Time: d.Time, Verdict: d.Verdict, Mode: d.Mode, Import: d.Import, Site: d.Site, Deploy: d.Deploy, Function: d.Function, Kind: d.Kind, Source: d.Source, Target: "(many)",
			Reason: "too many different decisions to record one by one"}
		if a.counted(d) {
			return false
		}
	} else {
		a.keys[from]++
	}
	kept := *d
	kept.Count, kept.Last = 0, time.Time{}
	a.seen[keyOf(d)] = &kept
	return true
}

func (a *aggregator) counted(d *Decision) bool {
	c, ok := a.seen[keyOf(d)]
	if ok {
		c.Count += max(1, d.Count) // it may stand for many itself
		c.Last = d.Time
		if d.Last.After(d.Time) {
			c.Last = d.Last
		}
	}
	return ok
}

func keyOf(d *Decision) key {
	request, rule := strings.Join(d.Among(), " "), ""
	if d.Verdict == Allow { // of what is allowed, it counts by which rule and how often
		request, rule = "", d.Rule
	}
	return key{d.Site, d.Deploy, d.Function, d.Instance, request, d.Kind, d.Method, d.Target, d.Reason, rule, d.Mode, d.Import, d.Verdict, d.Source, d.Confirmed}
}

// flush gives what was counted and starts a new window.
func (a *aggregator) flush() {
	a.mu.Lock()
	seen := a.seen
	a.seen, a.keys = map[key]*Decision{}, map[origin]int{}
	a.mu.Unlock()
	for _, d := range seen {
		if d.Count > 0 {
			a.emit(*d)
		}
	}
}

func (a *aggregator) close() {
	close(a.stop)
	a.done.Wait()
}
