package learn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
)

// BenchmarkLearn reads a million records as they lie in a file, of fifty functions, and makes the
// proposal; MB is the most memory that was in use.
func BenchmarkLearn(b *testing.B) {
	const records = 1_000_000
	file := million(records / 100)
	for b.Loop() {
		began := time.Now()
		s := NewSet()
		var most, m runtime.MemStats
		for range 100 {
			if err := record.Read(bytes.NewReader(file), func(e record.Entry) error {
				if e.Decision != nil {
					s.Decided(*e.Decision)
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			if runtime.ReadMemStats(&m); m.Sys > most.Sys {
				most = m
			}
		}
		if _, err := s.Propose(Options{Sources: all(everything{})}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(most.Sys)/(1<<20), "MB")
		b.ReportMetric(time.Since(began).Seconds(), "s/million")
	}
}

// million gives n records as lines.
func million(n int) []byte {
	r := rand.New(rand.NewPCG(1, 1))
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for i := range n {
		d := randomCall(r)
		d.Verdict, d.Mode, d.Fix, d.Reason = record.Deny, record.Monitor, "x", "no rule names the host"
		d.Time, d.Function, d.Request, d.Instance, d.Source = start.Add(time.Duration(i)*time.Second), fmt.Sprint("f", i%50), fmt.Sprint("r", i/3), "9f3c2a81b0d4", record.Egress
		enc.Encode(struct {
			V    int    `json:"v"`
			Type string `json:"type"`
			record.Decision
		}{record.Version, "decision", d})
	}
	return out.Bytes()
}
