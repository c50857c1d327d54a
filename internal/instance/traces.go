package instance

// In monitor mode /tmp can be written and native libraries can be loaded without a rule. Nothing is
// refused then that could be recorded, so the supervisor looks for the traces.

import (
	"strings"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// tmpDir is the private /tmp as rules name it.
const tmpDir = "/tmp"

// traces remembers what of an instance's traces was recorded.
type traces struct {
	tmp    time.Time // the last change to /tmp that is known
	loaded map[string]bool
}

// monitored tells whether what no rule allows is let through.
func (cfg *Config) monitored() bool { return cfg.Engine.Policy().Mode == policy.Monitor }

// writable gives what may be written.
func (cfg *Config) writable() []string {
	grants := cfg.Engine.Grants(policy.Write)
	if cfg.monitored() {
		grants = append(grants, tmpDir+"/**")
	}
	return grants
}

// namesTmp tells whether a rule lets something in /tmp be written.
func (cfg *Config) namesTmp() bool {
	for _, g := range cfg.Engine.Grants(policy.Write) {
		if strings.HasPrefix(g, tmpDir+"/") {
			return true
		}
	}
	return false
}

// begin takes what is there before the function's code has run for what was always there.
func (t *traces) begin(p program) {
	if now, err := p.TmpChanged(); err == nil {
		t.tmp = now
	}
}

// look records what the program has done since the last look that no rule allows. A program that has
// ended shows nothing any more.
func (in *instance) look() {
	if !in.cfg.monitored() {
		return
	}
	if now, err := in.proc.TmpChanged(); err == nil && now.After(in.traces.tmp) {
		in.traces.tmp = now
		if !in.cfg.namesTmp() {
			in.denials.found(in.cfg.unallowed(policy.Write, tmpDir))
		}
	}
	if len(in.cfg.Bundle.Addons) == 0 || in.cfg.Engine.Policy().Addons {
		return
	}
	libraries, err := in.proc.Libraries()
	if err != nil {
		return
	}
	for _, l := range in.traces.unknown(libraries) {
		in.denials.found(in.cfg.unallowed(policy.Addon, l))
	}
}

// unknown gives the libraries that were not recorded yet, and notes them.
func (t *traces) unknown(libraries []string) []string {
	var list []string
	for _, l := range libraries {
		if !t.loaded[l] {
			if t.loaded == nil {
				t.loaded = map[string]bool{}
			}
			t.loaded[l] = true
			list = append(list, l)
		}
	}
	return list
}

// unallowed makes the record of what no rule allows.
func (cfg *Config) unallowed(k policy.Kind, path string) record.Decision {
	d := record.Decision{Kind: k.String(), Target: path, Source: record.Kernel}
	req, err := policy.NewFile(k, path)
	if err != nil {
		d.Reason = err.Error()
		return d
	}
	x := cfg.Engine.Explain(&req, cfg.Engine.Decide(&req))
	d.Reason, d.Nearest, d.Rule, d.Fix = x.Reason, x.Nearest, x.Rule, x.Fix
	return d
}
