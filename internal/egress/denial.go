package egress

// This file exists because every refusal becomes exactly one record, and a hostile function must not
// be able to turn that into a flood.

import (
	"strconv"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// maxDenials bounds the records of one invocation from one sandbox. Those beyond are counted.
const maxDenials = 200

// denials writes the records of one sandbox.
type denials struct {
	recorder record.Recorder
	function string
	instance string

	mu      sync.Mutex
	request string // the invocation in flight
	count   int    // records of it
	dropped int    // denials of it that found no room
	last    record.Decision
	seen    map[string]bool // what is recorded once in an invocation
}

// begin names the invocation that is now in flight, "" for none.
func (d *denials) begin(request string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flush()
	d.request, d.count, d.seen = request, 0, nil
}

// write records a denial.
func (d *denials) write(r record.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(r)
}

// writeOnce records a denial unless this invocation has one of the same kind, target and reason:
// clients repeat questions and connections by themselves.
func (d *denials) writeOnce(r record.Decision) {
	key := r.Kind + "\x00" + r.Target + "\x00" + r.Reason
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[key] {
		return
	}
	if d.count < maxDenials {
		if d.seen == nil {
			d.seen = map[string]bool{}
		}
		d.seen[key] = true
	}
	d.add(r)
}

func (d *denials) add(r record.Decision) {
	r.Time = time.Now()
	r.Verdict, r.Function, r.Instance, r.Request, r.Source = record.Deny, d.function, d.instance, d.request, record.Egress
	if d.count >= maxDenials {
		d.dropped++
		d.last = r
		return
	}
	d.count++
	d.recorder.Decided(r)
}

// flush records how many denials found no room, as the last of them. The caller holds the lock.
func (d *denials) flush() {
	if d.dropped == 0 {
		return
	}
	r := d.last
	if d.dropped > 1 {
		r.Reason += " (the last of " + strconv.Itoa(d.dropped) + " further denials of this invocation, which are not recorded one by one)"
	}
	d.recorder.Decided(r)
	d.dropped, d.last = 0, record.Decision{}
}

// explained fills a record from a decision of the policy.
func explained(r record.Decision, x policy.Explanation) record.Decision {
	r.Reason, r.Nearest, r.Rule, r.Fix = x.Reason, x.Nearest, x.Rule, x.Fix
	return r
}

// maxShown is the longest hostile text in a record, in bytes.
const maxShown = 300

// shown makes hostile text fit for a record: printable ASCII, bounded.
func shown(s string) string {
	cut := ""
	if len(s) > maxShown {
		s, cut = s[:maxShown], "..."
	}
	if q := strconv.QuoteToASCII(s); q[1:len(q)-1] != s {
		s = q
	}
	return s + cut
}
