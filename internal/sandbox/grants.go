package sandbox

// Grants of host files: which paths they mean, what can't be granted, and what appears inside.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/sandbox/walls"
	"github.com/weir-run/weir/internal/weir"
)

const (
	bundleTarget = "/var/task"
	tmpTarget    = "/tmp"
)

// kernelFiles are directories of the host that are not files but the kernel: they would show
// other processes and the machine.
var kernelFiles = []string{"/proc", "/sys", "/dev", "/.proc"}

// grant is a host path that a policy grants.
type grant struct {
	path string // as written, without "/**"
	dir  bool   // it and all that is in it
}

func (g grant) String() string {
	if g.dir {
		return g.path + "/**"
	}
	return g.path
}

func invalid(format string, args ...any) *weir.Error {
	return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf(format, args...)}
}

// parseGrant reads a grant: an absolute path, or DIR/**.
func parseGrant(s string) (grant, error) {
	p, dir := strings.CutSuffix(s, "/**")
	if !filepath.IsAbs(p) || filepath.Clean(p) != p || p == "/" || strings.ContainsRune(p, 0) {
		e := invalid("rule %q is neither the absolute path of a file nor DIR/**", s)
		e.Remedy = "name the file, or the smallest directory that holds what is needed"
		return grant{}, e
	}
	return grant{path: p, dir: dir}, nil
}

// bind gives the mount for a grant of a host path. Links in one of dirs are not followed.
func (g grant) bind(write bool, dirs []string) (walls.Bind, error) {
	verb := "read"
	if write {
		verb = "write"
	}
	source, err := resolve(g.path, dirs)
	if err != nil {
		e := invalid("%s rule %s: the path doesn't exist on this machine", verb, g)
		e.Remedy = "create it, or remove the rule"
		if !errors.Is(err, fs.ErrNotExist) {
			e.Message, e.Err = fmt.Sprintf("%s rule %s", verb, g), err
		}
		if errors.As(err, new(*linkError)) {
			e.Remedy = "name the path that it should lead to, or let no function write there"
		}
		return walls.Bind{}, e
	}
	for _, k := range kernelFiles {
		if within(g.path, k) || within(source, k) {
			e := invalid("%s rule %s: %s belongs to the kernel and is never granted", verb, g, k)
			e.Remedy = "a sandbox has its own " + k
			return walls.Bind{}, e
		}
	}
	st, err := os.Stat(source)
	if err != nil {
		return walls.Bind{}, &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("%s rule %s", verb, g), Err: err}
	}
	switch {
	case g.dir && !st.IsDir():
		e := invalid("%s rule %s: %s is not a directory", verb, g, g.path)
		e.Remedy = "write " + g.path + " for a single file"
		return walls.Bind{}, e
	case !g.dir && st.IsDir():
		e := invalid("%s rule %s: it is a directory", verb, g)
		e.Remedy = "write " + g.path + "/** for all that is in it"
		return walls.Bind{}, e
	case !g.dir && !st.Mode().IsRegular():
		return walls.Bind{}, invalid("%s rule %s: it is not a regular file", verb, g)
	}
	return walls.Bind{Source: source, Target: g.path, Wall: walls.Grants, Write: write, NoLinks: true}, nil
}

// addGrants puts the Spec's grants into the configuration.
func (p *planner) addGrants() error {
	for _, s := range p.spec.Write {
		g, err := parseGrant(s)
		if err != nil {
			return err
		}
		if within(g.path, bundleTarget) {
			e := invalid("write rule %s: the function's own files can't be written", g)
			e.Remedy = "write to /tmp, with a rule for /tmp/**"
			return e
		}
		if within(g.path, tmpTarget) {
			if err := p.tmpGrant(g); err != nil {
				return err
			}
			continue
		}
		if err := p.leaveOut(p.hostGrant(g, true)); err != nil {
			return err
		}
	}
	for _, s := range p.spec.Read {
		g, err := parseGrant(s)
		if err != nil {
			return err
		}
		// These are the sandbox's own and can be read anyway.
		if within(g.path, bundleTarget) || within(g.path, tmpTarget) {
			continue
		}
		if err := p.leaveOut(p.hostGrant(g, false)); err != nil {
			return err
		}
	}
	return nil
}

// tmpGrant makes part of the private /tmp writable.
func (p *planner) tmpGrant(g grant) error {
	switch {
	case g.dir:
		p.cfg.TmpWritable = append(p.cfg.TmpWritable, g.path+"/")
	case g.path == tmpTarget:
		e := invalid("write rule %s: it is a directory", g)
		e.Remedy = "write " + g.path + "/** for all that is in it"
		return e
	default:
		p.cfg.TmpWritable = append(p.cfg.TmpWritable, g.path)
	}
	return nil
}

// hostGrant binds a path of the host, unless it is bound already.
func (p *planner) hostGrant(g grant, write bool) error {
	b, err := g.bind(write, p.dirs)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(p.cfg.Binds, func(o walls.Bind) bool { return o.Target == b.Target }) {
		return nil
	}
	if state := p.launcher.opts.StateDir; state != "" && (within(b.Source, resolved(state)) || g.dir && within(resolved(state), b.Source)) {
		e := invalid("rule %s would open %s, where Weir keeps its keys and artifacts", g, state)
		e.Remedy = "name the directories beside it, or have that folder elsewhere (weir serve: --state-dir, else WEIR_STATE_DIR)"
		return e
	}
	for _, own := range p.own() {
		if within(own, b.Target) {
			e := invalid("rule %s would cover %s, which every function has", g, own)
			e.Remedy = "name the directories below it"
			return e
		}
	}
	if !write && p.id.reserved && !readable(b.Source) {
		return hidden(g.String(), b.Source)
	}
	p.cfg.Binds = append(p.cfg.Binds, b)
	return nil
}

// resolved gives a path without links, as far as it is there.
func resolved(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	return path
}

// hidden is the error for a path that the user of a sandbox can't read.
func hidden(what, path string) *weir.Error {
	e := invalid("%s: %s can't be read by the unprivileged user that functions run as when Weir runs as root", what, path)
	e.Remedy = "let others read it (chmod o+r) and reach it (chmod o+x on each directory above), or run Weir as the user who owns it"
	return e
}

// own are the paths of the sandbox's own that no grant may cover.
func (p *planner) own() []string {
	out := []string{bundleTarget, tmpTarget, "/proc", "/.proc", "/dev"}
	for path := range p.spec.Content {
		out = append(out, path)
	}
	return out
}
