package record

// Records as JSON lines in a file. A record is written before the caller goes on: one write(2) of
// one line with O_APPEND costs a few microseconds, and then nothing can be lost by a queue.

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// maxText bounds a text field, in bytes; hostile code chooses URLs and paths.
const maxText = 2048

// File appends records to a file, one JSON object a line. It is safe for concurrent use.
type File struct {
	mu  sync.Mutex
	f   *os.File
	err error // the first failure to write; later records are dropped and counted
	bad int
	agg *aggregator
}

// OpenFile opens path for appending, and makes it, readable by its owner only, if it isn't there.
func OpenFile(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	r := &File{f: f}
	r.agg = newAggregator(r.writeDenial)
	return r, nil
}

// Denied writes a denial, or counts it if it repeats one of the last second.
func (r *File) Denied(d Denial) { r.agg.add(d) }

func (r *File) writeDenial(d Denial) {
	for _, s := range []*string{&d.Method, &d.Target, &d.Reason, &d.Nearest, &d.Rule, &d.Fix} {
		*s = bounded(*s)
	}
	r.write(struct {
		V    int    `json:"v"`
		Type string `json:"type"`
		Denial
	}{1, "denial", d})
}

// Invoked writes an invocation.
func (r *File) Invoked(i Invocation) {
	i.Error = bounded(i.Error)
	r.write(struct {
		V    int    `json:"v"`
		Type string `json:"type"`
		Invocation
	}{1, "invocation", i})
}

func (r *File) write(v any) {
	line, err := json.Marshal(v)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.err == nil {
		_, err = r.f.Write(append(line, '\n'))
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	if r.err != nil {
		r.bad++
	}
}

// Close writes what is still counted and closes the file. Its error says that records were lost.
func (r *File) Close() error {
	r.agg.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.err, r.f.Close())
}

// bounded cuts a text at maxText, never inside a character.
func bounded(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// window is how long equal denials are counted before they become one line.
const window = time.Second

// maxKeys bounds how many different denials are told apart within one window.
const maxKeys = 1024

// aggregator lets the first of equal denials through at once, counts the others, and gives them as
// one when the window ends: a flood costs little and nothing is lost silently.
type aggregator struct {
	emit func(Denial)
	mu   sync.Mutex
	seen map[string]*Denial // counted since the first; Count 0: only the first so far
	stop chan struct{}
	done sync.WaitGroup
}

func newAggregator(emit func(Denial)) *aggregator {
	a := &aggregator{emit: emit, seen: map[string]*Denial{}, stop: make(chan struct{})}
	a.done.Add(1)
	go a.run()
	return a
}

func (a *aggregator) run() {
	defer a.done.Done()
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

func (a *aggregator) add(d Denial) {
	key := strings.Join([]string{d.Function, d.Request, d.Kind, d.Method, d.Target, d.Reason}, "\x00")
	a.mu.Lock()
	if c, ok := a.seen[key]; ok {
		c.Count++
		c.Last = d.Time
		a.mu.Unlock()
		return
	}
	if len(a.seen) >= maxKeys {
		key = d.Function + "\x00" + d.Kind
		if c, ok := a.seen[key]; ok {
			c.Count++
			c.Last = d.Time
			a.mu.Unlock()
			return
		}
		d.Target, d.Method, d.Nearest, d.Rule, d.Fix = "(many)", "", "", "", ""
		d.Reason = "too many different denials to record one by one"
	}
	first := d
	a.seen[key] = &first
	a.mu.Unlock()
	a.emit(d)
}

// flush writes what was counted and starts a new window.
func (a *aggregator) flush() {
	a.mu.Lock()
	seen := a.seen
	a.seen = map[string]*Denial{}
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
