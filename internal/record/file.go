package record

// Records as JSON lines in a file. A record is written before the caller goes on: one write(2) of
// one line with O_APPEND costs a few microseconds, and then nothing can be lost by a queue.

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// maxText bounds a text field, in bytes; hostile code chooses URLs and paths.
const maxText = 2048

// File appends records to a file, one JSON object a line. It is safe for concurrent use.
type File struct {
	agg *aggregator

	mu   sync.Mutex
	f    *os.File
	rest []byte // what a line that was cut short still lacks
	lost int    // records that could not be written and that no line in the file tells of
	err  error  // why the first record of all was lost
}

// OpenFile opens path for appending, and makes it, readable by its owner only, if it isn't there.
func OpenFile(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	r := &File{f: f}
	r.agg = newAggregator(r.writeDecision)
	return r, nil
}

// Decided writes a decision, or counts it if it repeats one of the last second.
func (r *File) Decided(d Decision) { r.agg.add(d) }

func (r *File) writeDecision(d Decision) {
	r.write(struct {
		V    int    `json:"v"`
		Type string `json:"type"`
		Decision
	}{Version, "decision", d})
}

// Invoked writes an invocation.
func (r *File) Invoked(i Invocation) {
	i.Error = bounded(i.Error)
	r.write(struct {
		V    int    `json:"v"`
		Type string `json:"type"`
		Invocation
	}{Version, "invocation", i})
}

func (r *File) write(v any) {
	line, err := json.Marshal(v)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.append(append(line, '\n'))
	}
	if err != nil {
		r.lost++
		r.err = cmp.Or(r.err, err)
	}
}

// append writes a line. Before it goes what the last one still lacks and, if records were lost, a
// line that says how many: a disk that was full for a while leaves no gap that nobody sees. The error
// says that the line is lost. The caller holds the lock.
func (r *File) append(line []byte) error {
	var gap []byte
	if r.lost > 0 {
		told, err := json.Marshal(dropped{Version, "dropped", time.Now(), r.lost})
		if err != nil {
			return err
		}
		gap = append(told, '\n')
	}
	out := slices.Concat(r.rest, gap, line)
	n, err := r.f.Write(out)
	switch begin := len(r.rest) + len(gap); {
	case err == nil:
		r.rest, r.lost = nil, 0
	case n > begin: // inside the line: the next write ends it
		r.rest, r.lost, err = out[n:], 0, nil
	case n > len(r.rest):
		r.rest, r.lost = out[n:begin], 0
	default:
		r.rest = r.rest[n:]
	}
	return err
}

// dropped is the line that stands for records that could not be written.
type dropped struct {
	V     int       `json:"v"`
	Type  string    `json:"type"`
	Time  time.Time `json:"time"`
	Count int       `json:"count"`
}

// Close writes what is still counted and closes the file. Its error says that records were lost.
func (r *File) Close() error {
	r.agg.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rest) > 0 || r.lost > 0 {
		r.err = cmp.Or(r.err, r.append(nil))
	}
	var err error
	if r.err != nil {
		err = fmt.Errorf("records were lost: %v", r.err)
	}
	return errors.Join(err, r.f.Close())
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
