package demo

// The second half: the same files behind Weir, by the way that `weir dev` and `weir invoke` go.

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/server"
	"github.com/weir-run/weir/internal/weir"
)

// runWalled tells the second half. The thief is as reachable as in the first: every host that the
// hijacked package calls is routed to the stand-ins and trusted, so that only the policy is in the
// way. An error means that Weir can't run functions here.
func runWalled(ctx context.Context, node, site, stateDir string) (*Half, error) {
	n, dir, leave, err := stage()
	if err != nil {
		return nil, err
	}
	defer leave()
	env := filepath.Join(dir, "env")
	if err := os.WriteFile(env, []byte(strings.Join(variables, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	overrides, err := n.overrides()
	if err != nil {
		return nil, err
	}
	w := &witness{}
	d, err := server.NewDev(ctx, server.DevOptions{Dir: site, StateDir: stateDir, Listen: "127.0.0.1:0", NodePath: node,
		EnvFiles: []string{env}, Resolve: overrides, UpstreamCA: n.ca,
		Recorder: w, Log: w.printed, Logger: slog.New(slog.NewTextHandler(w, nil))})
	if err != nil {
		return nil, err
	}
	res, err := d.Invoke(ctx, weir.Invocation{ID: rand.Text(), Function: "charge", Event: event()})
	d.Close()
	n.close() // what is on its way arrives first
	failure := ""
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case weir.ErrorCode(err) == weir.NoWall:
		return nil, err
	case err != nil:
		failure = err.Error()
	case res.Error != nil:
		failure = res.Error.Type + ": " + res.Error.Message
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return n.half(res.Payload, failure, w.lines, w.denials), nil
}

// overrides says to the egress what routes say to bare Node.
func (n *internet) overrides() ([]egress.Override, error) {
	var out []egress.Override
	for name, addr := range n.routes {
		o, err := egress.ParseOverride(name + "=" + addr)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// witness keeps what Weir records and what it and the function print.
type witness struct {
	mu      sync.Mutex
	lines   []string
	denials []record.Decision
}

// Decided keeps a denial. What was allowed, the outside tells.
func (w *witness) Decided(d record.Decision) {
	if d.Verdict == record.Allow {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.denials = append(w.denials, d)
}

// Invoked does nothing: the demo sees the answer itself.
func (w *witness) Invoked(record.Invocation) {}

func (w *witness) printed(l instance.Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, l.Text)
}

// Write keeps a line of Weir's own log.
func (w *witness) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, strings.TrimSpace(string(p)))
	return len(p), nil
}

// reasons say why an attempt came to nothing where Weir had nothing to refuse.
var reasons = map[string]string{
	"~/.npmrc":           "nobody's home is inside",
	"/proc/self/environ": "it holds no secrets inside",
	"A *." + thiefHost:   "answered inside; nobody was asked",
}

// join gives each attempt the record of its denial, and returns the records that are left.
func join(tried []Attempt, denials []record.Decision) []record.Decision {
	var left []record.Decision
next:
	for _, d := range denials {
		target := d.Target
		if d.Method != "" {
			target = d.Method + " " + target
		}
		for i := range tried {
			if a := &tried[i]; a.Denial == nil && a.Kind == d.Kind && a.Target == target {
				a.Denial, a.Why = &d, d.Reason
				continue next
			}
		}
		left = append(left, d)
	}
	for i := range tried {
		if a := &tried[i]; a.Denial == nil && a.Outcome != done {
			a.Why = reasons[a.Target]
		}
	}
	return left
}
