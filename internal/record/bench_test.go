package record

import (
	"path/filepath"
	"testing"
	"time"
)

var benchAllow = Decision{Verdict: Allow, Function: "charge", Instance: "9f3c2a81b0d4", Request: "01JGK2T6W4Q9V8X7Y6Z5A4B3C2", Kind: "http", Method: "POST",
	Target: "https://api.stripe.com/v1/charges", Nearest: "POST https://api.stripe.com/v1/charges", Rule: "weir.toml:4", Source: Egress}

func benchFile(b *testing.B) *File {
	f := open(b, filepath.Join(b.TempDir(), "records"), FileOptions{})
	b.Cleanup(func() { f.Close() })
	return f
}

// BenchmarkDecided is what a call costs that is allowed again and again: it is counted, not written.
func BenchmarkDecided(b *testing.B) {
	f := benchFile(b)
	b.ReportAllocs()
	for b.Loop() {
		d := benchAllow
		d.Time = time.Now()
		f.Decided(d)
	}
}

// BenchmarkInvoked is what the record of an invocation costs, in the file.
func BenchmarkInvoked(b *testing.B) {
	f := benchFile(b)
	b.ReportAllocs()
	for b.Loop() {
		f.Invoked(Invocation{Time: time.Now(), Function: "charge", Instance: "9f3c2a81b0d4", Request: "01JGK2T6W4Q9V8X7Y6Z5A4B3C2", Outcome: "ok", Millis: 1.234})
	}
}

// BenchmarkRedacted is what is spent on keeping the values of 20 variables out of a decision.
func BenchmarkRedacted(b *testing.B) {
	r := NewRedactor(nowhere{})
	env := map[string]string{}
	for i := range 20 {
		env["VAR"+string(rune('A'+i))] = "value-number-" + string(rune('a'+i)) + "-of-many"
	}
	r.SetValues(env)
	b.ReportAllocs()
	for b.Loop() {
		r.Decided(benchAllow)
	}
}

type nowhere struct{}

func (nowhere) Decided(Decision)   {}
func (nowhere) Invoked(Invocation) {}

// BenchmarkRead is what reading a decision back costs.
func BenchmarkRead(b *testing.B) {
	r := NewReader(&endless{line: []byte(allowLine + "\n")}, "x")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

type endless struct {
	line []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.at:])
	e.at = (e.at + n) % len(e.line)
	return n, nil
}
