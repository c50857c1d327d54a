// Package demo tells the story of `weir demo`: a payment function with a hijacked dependency, first
// on bare Node, then behind Weir, the same code with the same secrets about. It stands where a user
// stands: it must not know how walls are raised or decisions are made, only what reached whom.
package demo

// The story as a whole: both halves, and whether they came out as they should.

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/record"
)

// Options say where and for whom the story is told.
type Options struct {
	StateDir string    // the site is set up in its folder "demo", once; made if need be
	Progress io.Writer // takes a line on each step
}

// Outcome is what happened. CameTrue means: on bare Node the charge went through and everything was
// stolen by every way, behind Weir the charge went through and nothing left. Differed says what was
// otherwise.
type Outcome struct {
	CameTrue bool     `json:"came_true"`
	Differed []string `json:"differed,omitempty"`
	Bare     Half     `json:"bare"`
	Weir     Half     `json:"weir"`
}

// Half is one of the two runs, as seen from outside of the function (Attempts excepted).
type Half struct {
	Charged   bool              `json:"charged"`           // Stripe saw one charge of 100 cents with the right key, and the function answered so
	Failure   string            `json:"failure,omitempty"` // why not
	Receipt   string            `json:"receipt,omitempty"` // the function's own text
	Telemetry bool              `json:"telemetry"`         // the stripe package could keep a telemetry id in the home folder
	Loot      []Piece           `json:"loot"`              // every secret, and the ways by which the thief received it
	Reached   map[string]int    `json:"reached"`           // messages that reached the thief (https, tcp, dns) and the metadata service
	Attempts  []Attempt         `json:"attempts"`          // what the hijacked package did, by its own account, in its order
	Others    []record.Decision `json:"others,omitempty"`  // what Weir denied besides these attempts
	Log       []string          `json:"-"`                 // what the function and Weir printed
}

// Piece is one secret.
type Piece struct {
	What string   `json:"what"`
	From string   `json:"from"` // where the hijacked package finds it
	Via  []string `json:"via"`  // https, tcp, dns: how the thief received it; empty: not at all
}

// Attempt is one thing that the hijacked package tried.
type Attempt struct {
	Kind    string           `json:"kind"` // as in a record.Decision
	Target  string           `json:"target"`
	Outcome string           `json:"outcome"`          // "done", or the error that it got
	Why     string           `json:"why,omitempty"`    // behind Weir: why it came to nothing
	Denial  *record.Decision `json:"denial,omitempty"` // Weir's record of it; none where there was nothing to refuse
}

// done is the outcome of an attempt that succeeded.
const done = "done"

// Run tells the story. An error means that it could not be told: no Node.js, no npm for the set-up,
// a wall that can't be raised. It needs no network once the site is set up.
func Run(ctx context.Context, o Options) (*Outcome, error) {
	node, err := program("node")
	if err != nil {
		return nil, err
	}
	site, err := setUp(ctx, o.StateDir, embedded(), o.Progress)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(o.Progress, "running the function on bare Node ...")
	bare, err := runBare(ctx, node, site)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(o.Progress, "running the function behind Weir ...")
	walled, err := runWalled(ctx, node, site, o.StateDir)
	if err != nil {
		return nil, err
	}
	out := &Outcome{Bare: *bare, Weir: *walled}
	out.Differed = differences(bare, walled)
	out.CameTrue = len(out.Differed) == 0
	return out, nil
}

// differences says in what the story did not come true.
func differences(bare, walled *Half) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if !bare.Charged {
		say("on bare Node the charge failed: %s", bare.Failure)
	}
	for _, p := range bare.Loot {
		for _, way := range ways {
			if !slices.Contains(p.Via, way) {
				say("on bare Node the thief did not receive the %s by %s", p.What, way)
			}
		}
	}
	if !walled.Charged {
		say("behind Weir the charge failed: %s", walled.Failure)
	}
	for _, p := range walled.Loot {
		if len(p.Via) > 0 {
			say("behind Weir the thief received the %s by %s", p.What, strings.Join(p.Via, ", "))
		}
	}
	for _, way := range append(ways, metadataWay) {
		if n := walled.Reached[way]; n > 0 {
			say("behind Weir %d messages arrived by %s", n, way)
		}
	}
	if len(walled.Attempts) != len(bare.Attempts) {
		say("the hijacked package made %d attempts on bare Node and %d behind Weir", len(bare.Attempts), len(walled.Attempts))
	}
	for _, a := range walled.Attempts {
		if a.Outcome == done {
			say("behind Weir the hijacked package says that this succeeded: %s %s", a.Kind, a.Target)
		}
	}
	return out
}

// attempts reads what the hijacked package prints: "hijack", kind, target and outcome between tabs.
func attempts(lines []string) []Attempt {
	var out []Attempt
	for _, l := range lines {
		if f := strings.Split(l, "\t"); len(f) == 4 && f[0] == "hijack" {
			out = append(out, Attempt{Kind: f[1], Target: f[2], Outcome: f[3]})
		}
	}
	return out
}
