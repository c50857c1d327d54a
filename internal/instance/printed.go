package instance

// Whose a line is. Where an instance has one invocation at a time, it is that one's. Where it may have several, the
// shim marks what each prints (internal/runtime/shim/output.cjs). Its word is advisory: a mark counts only if it
// names an invocation in flight. What bears none may be any's of those.

import (
	"bytes"
	"slices"
	"time"
)

const (
	maxMark  = 128 // bytes
	maxAmong = 32  // invocations that a line names; of more, none
)

// part is what one invocation printed of a line.
type part struct {
	by   string // "": nobody knows
	text []byte
}

// parts takes a line apart by its marks; there is at least one part. by is whose its beginning is, and end whose its
// end is. The caller holds l.mu.
func (l *logs) parts(by string, line []byte) (parts []part, end string) {
	if l.mark == nil {
		return []part{{"", line}}, ""
	}
	first := by
	for {
		text, rest, marked := bytes.Cut(line, l.mark)
		if n := len(parts); n > 0 && parts[n-1].by == by {
			parts[n-1].text = slices.Concat(parts[n-1].text, text)
		} else if len(text) > 0 {
			parts = append(parts, part{by, text})
		}
		if marked {
			var id []byte
			if id, line, marked = bytes.Cut(rest, []byte{0}); marked {
				by = string(id)
			}
		}
		if !marked {
			break
		}
		if first == "" {
			first = by
		}
	}
	if len(parts) == 0 {
		parts = []part{{by: first}}
	}
	return parts, by
}

// begun gives how many bytes at the end of what was read may be the beginning of a mark.
func (l *logs) begun(text []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mark == nil {
		return 0
	}
	tail := text[max(0, len(text)-maxMark):]
	for i := range tail {
		rest := tail[i:]
		if bytes.HasPrefix(l.mark, rest) || bytes.HasPrefix(rest, l.mark) && bytes.IndexByte(rest[len(l.mark):], 0) < 0 {
			return len(rest)
		}
	}
	return 0
}

// spend takes a line of n bytes from the budget of who printed it and tells whether there was room for it. That
// there was none is printed once. The caller holds l.mu.
func (l *logs) spend(by string, n int) bool {
	left, own := l.own[by]
	if !own {
		left = l.left
	}
	if left < 0 {
		return false
	}
	left -= int64(n) + 1
	if own {
		l.own[by] = left
	} else {
		l.left = left
	}
	if left < 0 {
		l.line("stderr", by, "(log limit reached: the rest of this invocation's output is dropped; raise limits.log)")
	}
	return left >= 0
}

// line hands a line on. The caller holds l.mu.
func (l *logs) line(stream, by, text string) {
	line := l.tag
	_, running := l.own[by]
	switch {
	case running:
		line.Request = by
	case l.mark != nil && by != "": // it has ended, or was made up
	case len(l.flight) == 1:
		line.Request = l.flight[0]
	case len(l.flight) <= maxAmong:
		line.Among = l.flight
	}
	line.Time, line.Stream, line.Text = time.Now(), stream, text
	l.sink(line)
}
