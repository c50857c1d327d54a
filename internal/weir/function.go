package weir

// A function is what it consists of (a bundle) and how much it may use (limits).

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Bundle is what a function's process sees as /var/task: immutable files on disk, the file that
// holds the handler and the name of its export. internal/build makes bundles; nothing else knows
// how an artifact is laid out.
type Bundle struct {
	Function string   // the function's name, as in /.netlify/functions/NAME
	Dir      string   // absolute path on the host, readable by the sandbox's uid
	Entry    string   // path of the handler's file, relative to Dir, with slashes; in a pack it is no file of its own
	Export   string   // name of the export that is the handler, usually "handler"
	Addons   []string // native libraries (*.node, *.so*) in Dir, relative, with slashes
	Pack     bool     // the code is a pack, which the shim loads, not files that Node does
	Config   FunctionConfig
}

// PackDir is the folder of a bundle in which a pack's own files lie: its code is PackDir/pack.js.
const PackDir = ".weir"

// FunctionConfig is what the source of a function says of it. The zero value is a function that says nothing.
type FunctionConfig struct {
	Form Form `json:",omitempty"` // how the handler looks to be called; "": it can't be told
	// Paths are patterns (see internal/route) of the paths that the function answers for, instead of its default URL.
	Paths         []string   `json:",omitempty"`
	ExcludedPaths []string   `json:",omitempty"` // patterns of paths that it doesn't answer for, whatever Paths say
	Methods       []string   `json:",omitempty"` // nil: all
	PreferStatic  bool       `json:",omitempty"` // a file of the same path comes first
	Background    bool       `json:",omitempty"` // callers get 202 at once, and no answer
	Schedule      string     `json:",omitempty"` // five fields of cron in UTC, or @hourly and its kin; "" for none
	RateLimit     *RateLimit `json:",omitempty"`
}

// RateLimit bounds how often a function is called (Netlify's "rateLimit" in a function's config).
type RateLimit struct {
	Window int      // seconds
	Limit  int      // requests in each window
	By     []string // "ip", "domain": what is counted apart; empty: "domain"
	To     string   `json:",omitempty"` // the path that requests beyond it are rewritten to; "": they get 429
}

// The bounds of a RateLimit, as Netlify has them.
const (
	MaxRateWindow = 180       // seconds
	MaxRateLimit  = 1_000_000 // requests
)

// Check tells what is wrong with a rate limit, in one line: nil for nothing.
func (r *RateLimit) Check() error {
	switch {
	case r.Window < 1 || r.Window > MaxRateWindow:
		return fmt.Errorf("a rate limit's window has from 1 to %d seconds, not %d", MaxRateWindow, r.Window)
	case r.Limit < 1 || r.Limit > MaxRateLimit:
		return fmt.Errorf("a rate limit allows from 1 to %d requests, not %d", MaxRateLimit, r.Limit)
	case r.To != "" && (!strings.HasPrefix(r.To, "/") || strings.HasPrefix(r.To, "//")):
		return fmt.Errorf("a rate limit leads to a path with one / in front, not to %.80q", r.To)
	}
	for _, by := range r.By {
		if by != "ip" && by != "domain" {
			return fmt.Errorf("a rate limit counts by ip or domain, not by %.40q", by)
		}
	}
	return nil
}

// Bundlers are the values of Netlify's node_bundler.
var Bundlers = []string{"esbuild", "esbuild_zisi", "nft", "zisi", "none"}

// Limits bound one function. A zero field means the default (DefaultLimits), never "no limit".
type Limits struct {
	Timeout   time.Duration // of one invocation, wall clock
	Memory    int64         // bytes, of one instance with all its processes
	CPU       float64       // cores, of one instance
	Tmp       int64         // bytes of /tmp
	Processes int           // processes and threads that user code may add
	Files     int           // open file descriptors
	Request   int64         // bytes of a request's body
	Response  int64         // bytes of a response's body
	Log       int64         // bytes of stdout and stderr of one invocation
}

// DefaultLimits are Netlify's where Netlify documents one (time-out, memory, request and
// response of a synchronous function), else Weir's own.
func DefaultLimits() Limits {
	return Limits{
		Timeout:   60 * time.Second,
		Memory:    1024 << 20,
		CPU:       1,
		Tmp:       64 << 20,
		Processes: 32,
		Files:     1024,
		Request:   6 << 20,
		Response:  6 << 20,
		Log:       1 << 20,
	}
}

// What Netlify gives functions that nobody waits for, where no limit says otherwise.
const (
	BackgroundTimeout = 15 * time.Minute
	ScheduledTimeout  = 30 * time.Second
)

// Limits fills every zero field of limits: the time-out by the kind of function, all else from DefaultLimits.
func (c FunctionConfig) Limits(l Limits) Limits {
	switch {
	case l.Timeout != 0:
	case c.Background:
		l.Timeout = BackgroundTimeout
	case c.Schedule != "":
		l.Timeout = ScheduledTimeout
	}
	return l.WithDefaults()
}

// MaxBackgroundEvent bounds the event of a background function, in bytes, as Netlify does.
const MaxBackgroundEvent = 256 << 10

// WithDefaults fills every zero field from DefaultLimits.
func (l Limits) WithDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		Timeout:   cmp.Or(l.Timeout, d.Timeout),
		Memory:    cmp.Or(l.Memory, d.Memory),
		CPU:       cmp.Or(l.CPU, d.CPU),
		Tmp:       cmp.Or(l.Tmp, d.Tmp),
		Processes: cmp.Or(l.Processes, d.Processes),
		Files:     cmp.Or(l.Files, d.Files),
		Request:   cmp.Or(l.Request, d.Request),
		Response:  cmp.Or(l.Response, d.Response),
		Log:       cmp.Or(l.Log, d.Log),
	}
}
