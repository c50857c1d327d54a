package logs

// Decisions and invocations as lines of their own.

import (
	"fmt"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// Decided takes a decision. A denial becomes a line; equal ones within a second are counted and become one more.
func (s *Service) Decided(d record.Decision) { s.tell.Decided(d) }

func (s *Service) denied(d record.Decision) {
	s.Add(Line{Time: d.Time, Site: d.Site, Deploy: d.Deploy, Function: d.Function, Instance: d.Instance, Request: d.Request, Among: d.Requests,
		Stream: Denied, Text: denial(d), Decision: &d})
}

// denial says what was denied, in one line.
func denial(d record.Decision) string {
	var b strings.Builder
	if d.Mode == record.Monitor {
		b.WriteString("would be ")
	}
	b.WriteString("denied ")
	for _, part := range []string{d.Kind, d.Method, d.Target} {
		if part != "" {
			b.WriteString(part + " ")
		}
	}
	text := strings.TrimSpace(b.String())
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	if d.Fix != "" {
		text += "; allow with " + d.Fix
	}
	if d.Count > 0 {
		text += fmt.Sprintf(" (%d more)", d.Count)
	}
	return text
}

// Invoked takes an invocation. Of its line only the record is written, as all else in it follows from that.
func (s *Service) Invoked(i record.Invocation) {
	if i.Site == "" || i.Function == "" {
		return
	}
	i.Error = cut(i.Error)
	var room [512]byte // for most
	line := appendInvoked(room[:0], i)
	for len(line) > maxLine && i.Error != "" { // as in encode
		i.Error = weir.Cut(i.Error, len(i.Error)/2)
		line = appendInvoked(room[:0], i)
	}
	s.hold(source{i.Site, i.Function}, line)
}

func appendInvoked(b []byte, i record.Invocation) []byte {
	return append(i.AppendJSON(append(b, `{"invocation":`...)), '}')
}

// invoked gives the line of an invocation.
func invoked(i *record.Invocation) Line {
	text := fmt.Sprintf("%s in %.0f ms", i.Outcome, i.Millis)
	if i.Cold {
		text += ", cold"
	}
	if i.Error != "" {
		text += ": " + i.Error
	}
	end := i.Time.Add(time.Duration(i.Millis * float64(time.Millisecond))) // behind what it printed
	return Line{Time: end, Site: i.Site, Deploy: i.Deploy, Function: i.Function, Instance: i.Instance, Request: i.Request,
		Stream: Invoked, Text: text, Invocation: i}
}
