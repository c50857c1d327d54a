// This file exists because limits have units and bounds, and a number without its unit is the
// likeliest mistake in them.

package tomlpolicy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

const (
	kb = 1 << 10
	mb = 1 << 20
	gb = 1 << 30
)

// limit is how one limit is read: what a value may be and where it goes.
type limit struct {
	min, max int64 // of sizes and counts
	set      func(*weir.Limits, int64)
}

var sizes = map[string]limit{
	"memory":   {64 * mb, 64 * gb, func(l *weir.Limits, n int64) { l.Memory = n }},
	"tmp":      {1 * mb, 64 * gb, func(l *weir.Limits, n int64) { l.Tmp = n }},
	"request":  {1 * kb, 64 * mb /* what the gateway reads */, func(l *weir.Limits, n int64) { l.Request = n }},
	"response": {1 * kb, 1 * gb, func(l *weir.Limits, n int64) { l.Response = n }},
	"log":      {1 * kb, 1 * gb, func(l *weir.Limits, n int64) { l.Log = n }},
}

var counts = map[string]limit{
	"processes": {1, 4096, func(l *weir.Limits, n int64) { l.Processes = int(n) }},
	"files":     {64, 1 << 20, func(l *weir.Limits, n int64) { l.Files = int(n) }},
}

// Bounds of time and processor. 15 minutes is what Netlify gives a background function.
const (
	minTimeout, maxTimeout = time.Millisecond, 15 * time.Minute
	minCPU, maxCPU         = 0.05, 64.0
)

func (r *reader) limits(s *section, e *entry) {
	if e.value.table == nil {
		r.wrong(e.value, "a table", `write limits = { timeout = "10s", memory = "512MB" }`)
		return
	}
	for _, key := range e.value.table.keys {
		l := e.value.table.entries[key]
		if apply := r.limit(key, l); apply != nil {
			s.settings["limits."+key] = setting{pos: l.pos, apply: func(p *policy.Policy) { apply(&p.Limits) }}
		}
	}
}

// limit reads one limit; nil after an error.
func (r *reader) limit(key string, e *entry) func(*weir.Limits) {
	v := e.value
	if l, ok := sizes[key]; ok {
		n, ok := r.size(key, v, "MB")
		if !ok || !r.within(v, n >= l.min && n <= l.max, key, policy.Size(l.min), policy.Size(l.max)) {
			return nil
		}
		return func(w *weir.Limits) { l.set(w, n) }
	}
	if l, ok := counts[key]; ok {
		n, ok := r.count(key, v, l.min, l.max)
		if !ok {
			return nil
		}
		return func(w *weir.Limits) { l.set(w, n) }
	}
	switch key {
	case "timeout":
		return r.timeout(v)
	case "cpu":
		return r.cpu(v)
	}
	r.unknown(e.pos, key, "in limits", limitKeys)
	return nil
}

// count reads a whole number.
func (r *reader) count(key string, v *value, low, high int64) (int64, bool) {
	if v.kind != unstable.Integer {
		r.wrong(v, "a whole number", fmt.Sprintf("write %s = %d", key, low))
		return 0, false
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 64)
	return n, r.within(v, err == nil && n >= low && n <= high, key, strconv.FormatInt(low, 10), strconv.FormatInt(high, 10))
}

func (r *reader) within(v *value, ok bool, key, low, high string) bool {
	if !ok {
		r.bad(v.pos, "", "%s must be from %s to %s", key, low, high)
	}
	return ok
}

func (r *reader) timeout(v *value) func(*weir.Limits) {
	if v.kind == unstable.Integer || v.kind == unstable.Float {
		r.wrong(v, "a duration with its unit", fmt.Sprintf("write timeout = %q", v.text+"s"))
		return nil
	}
	text, ok := r.text(v, `write timeout = "10s"`)
	if !ok {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		remedy := `write a number and its unit: "500ms", "10s", "2m"`
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			remedy = fmt.Sprintf("write %q", text+"s")
		}
		r.bad(v.pos, remedy, "%q is not a duration", text)
		return nil
	}
	if !r.within(v, d >= minTimeout && d <= maxTimeout, "timeout", "1ms", "15m") {
		return nil
	}
	return func(l *weir.Limits) { l.Timeout = d }
}

func (r *reader) cpu(v *value) func(*weir.Limits) {
	if v.kind != unstable.Integer && v.kind != unstable.Float {
		r.wrong(v, "a number of cores", "write cpu = 0.5")
		return nil
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(v.text, "_", ""), 64)
	if !r.within(v, err == nil && n >= minCPU && n <= maxCPU, "cpu", "0.05", "64") {
		return nil
	}
	return func(l *weir.Limits) { l.CPU = n }
}

var units = []struct {
	name string
	size int64
}{{"GB", gb}, {"MB", mb}, {"KB", kb}, {"B", 1}}

// size reads a whole number and its unit; likely is the unit of a number without one.
func (r *reader) size(key string, v *value, likely string) (int64, bool) {
	if v.kind == unstable.Integer {
		r.wrong(v, "a size with its unit", fmt.Sprintf("write %s = %q", key, v.text+likely))
		return 0, false
	}
	text, ok := r.text(v, fmt.Sprintf(`write %s = "64MB"`, key))
	if !ok {
		return 0, false
	}
	for _, u := range units {
		digits, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 63); err == nil && n <= math.MaxInt64/uint64(u.size) {
			return int64(n) * u.size, true
		}
		break
	}
	remedy := `write a whole number and B, KB, MB or GB: "64MB"`
	tidy := strings.ToUpper(strings.ReplaceAll(strings.ReplaceAll(text, " ", ""), "i", ""))
	if n := strings.TrimRight(tidy, "KMGB"); n != "" && strings.Trim(n, "0123456789") == "" {
		unit := strings.TrimSuffix(tidy[len(n):], "B") + "B"
		if n == text {
			unit = likely
		}
		if n+unit == text {
			remedy = "write a smaller size"
		} else {
			remedy = fmt.Sprintf("write %q", n+unit)
		}
	}
	r.bad(v.pos, remedy, "%q is not a size", text)
	return 0, false
}
