package record

// What people change on a server stands in the same chain as what its functions try: who approved what is evidence,
// too.

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The bounds of a change, in bytes: each of its fields, names and values of its details, and how many of these.
const (
	maxField   = 512
	maxName    = 64
	maxDetails = 16
)

// ChangeRecorder takes changes, as a Recorder takes the rest. A Recorder that passes records on passes changes to
// those that take them.
type ChangeRecorder interface {
	Changed(Change)
}

func encodeChange(c Change) ([]byte, error) {
	return encode(struct {
		mark
		Change
	}{mark{Version, "change"}, c.Bounded()})
}

// Bounded gives a change that is no longer than a line of records may be: texts are cut, and of more than 16 details
// those whose names come last are left out and counted in one called "…".
func (c Change) Bounded() Change {
	for _, s := range []*string{&c.Author, &c.From, &c.Action, &c.Site, &c.Deploy} {
		*s = boundedTo(*s, maxField)
	}
	var detail map[string]string
	for i, name := range slices.Sorted(maps.Keys(c.Detail)) {
		if i == 0 {
			detail = map[string]string{}
		}
		if i == maxDetails {
			detail["…"] = fmt.Sprintf("%d more", len(c.Detail)-i)
			break
		}
		detail[boundedTo(name, maxName)] = boundedTo(c.Detail[name], maxField)
	}
	c.Detail = detail
	return c
}

// String gives a change as one line for people.
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "changed: %s by %q", c.Action, c.Author)
	if c.From != "" {
		fmt.Fprintf(&b, " from %s", c.From)
	}
	if c.Site != "" {
		fmt.Fprintf(&b, " on site %s", c.Site)
	}
	if c.Deploy != "" {
		fmt.Fprintf(&b, ", deploy %s", c.Deploy)
	}
	before := ": "
	for _, name := range slices.Sorted(maps.Keys(c.Detail)) {
		fmt.Fprintf(&b, "%s%s %q", before, name, c.Detail[name])
		before = ", "
	}
	return b.String()
}

// Changed writes a change.
func (r *File) Changed(c Change) { r.write(encodeChange(c)) }

// Changed queues a change.
func (q *Queued) Changed(c Change) { q.put(encodeChange(c)) }

// Changed passes on a change.
func (r *Redactor) Changed(c Change) {
	for _, s := range []*string{&c.Author, &c.From, &c.Action, &c.Site, &c.Deploy} {
		*s = r.clean(*s)
	}
	detail := make(map[string]string, len(c.Detail))
	for name, value := range c.Detail {
		detail[r.clean(name)] = r.clean(value)
	}
	c.Detail = detail
	changed(r.next, c)
}

func (m multi) Changed(c Change) {
	for _, r := range m {
		changed(r, c)
	}
}

// changed gives a change to a Recorder that takes changes.
func changed(to Recorder, c Change) {
	if r, takes := to.(ChangeRecorder); takes {
		r.Changed(c)
	}
}
