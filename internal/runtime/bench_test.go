package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// BenchmarkInvoke measures one invocation of a trivial handler through the channel, without walls: one
// right after the other, and each after a rest, as a client leaves it one; and one of functions v2. What Node itself computes
// for it ("node-us/op") is the same work; that it takes longer after a rest is the machine's part.
func BenchmarkInvoke(b *testing.B) {
	event := json.RawMessage(`{"rawUrl":"http://localhost/.netlify/functions/hello","rawQuery":"","path":"/.netlify/functions/hello","httpMethod":"GET","headers":{"host":"localhost"},"body":null,"isBase64Encoded":false}`)
	const v1 = `exports.handler = async () => ({ statusCode: 200, body: 'hello' });`
	for name, c := range map[string]struct {
		source string
		rest   time.Duration
	}{
		"at once": {v1, 0},
		"rested":  {v1, 200 * time.Microsecond},
		"v2":      {`exports.__esModule = true; exports.default = async () => new Response('hello');`, 0},
	} {
		b.Run(name, func(b *testing.B) {
			p, err := start(b, c.source)
			if err != nil {
				b.Fatal(err)
			}
			before := p.userTime(b)
			for b.Loop() {
				if _, _, err := p.Invoke(weir.Invocation{ID: "id", Function: "fn", Event: event}, time.Now().Add(time.Minute), nil); err != nil {
					b.Fatal(err)
				}
				if c.rest > 0 {
					b.StopTimer()
					time.Sleep(c.rest)
					b.StartTimer()
				}
			}
			b.ReportMetric(float64((p.userTime(b)-before).Microseconds())/float64(b.N), "node-us/op")
		})
	}
}

// userTime gives how long the process has computed, without the kernel's part (proc_pid_stat(5)).
func (p *process) userTime(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	fmt.Sscan(fields[11], &ticks)
	return time.Duration(ticks) * 10 * time.Millisecond
}
