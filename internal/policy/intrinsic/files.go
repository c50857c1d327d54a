// This file exists because the kernel holds files and whole directories, and Intrinsic's globs are
// finer: what each pattern is held as, and what is said where that is less.

package intrinsic

import (
	"path"
	"strings"

	"github.com/dop251/goja"

	"github.com/weir-run/weir/internal/policy"
)

// allowFile takes a pattern for files (see the package comment).
func (e *evaluator) allowFile(call goja.FunctionCall, k policy.Kind) {
	pattern, ok := e.text(call, "the glob of an absolute path")
	if !ok {
		return
	}
	pattern = e.narrowed(pattern)
	base, glob := cutGlob(pattern)
	if tidy := strings.TrimSuffix(glob, "/*"); tidy == "**" { // "**/*" is all that is in it, too
		glob = tidy
	}
	switch {
	case !strings.HasPrefix(pattern, "/") && pattern != "**" && pattern != "**/*",
		base != "" && path.Clean(base) != base:
		e.problem(e.here(), "write an absolute path, such as `${__dirname}/data.json`", "'%s' is not a clean absolute path", clip(pattern))
	case strings.ContainsAny(pattern, `\{}`):
		e.problem(e.here(), "write * for a part that varies", "'%s' holds a backslash or brace", clip(pattern))
	case k == policy.Write && within(base, taskDir):
		e.warn(e.here(), "write to /tmp", "allowWrite('%s') grants nothing: the bundle is never writable", clip(pattern))
	case k == policy.Read && (within(base, taskDir) || within(base, tmpDir)) && glob != "" && glob != "**":
		// can be read without a rule
	case within(base, "/proc") || within(base, "/sys") || within(base, "/dev"):
		e.warn(e.here(), "remove it", "'%s' grants nothing: a sandbox has a %s of its own", clip(pattern), "/"+strings.Split(base, "/")[1])
	case base == "":
		e.warn(e.here(), "name the directories", "'%s' grants nothing: the host is never opened as a whole", clip(pattern))
	case glob == "":
		e.add(k, base)
	case glob == "**":
		e.add(k, base+"/**")
	case k == policy.Write && within(base, tmpDir):
		e.warn(e.here(), "write allowWrite('/tmp/**')", "allowWrite('%s') grants nothing: the kernel can't hold names of files yet to be made", clip(pattern))
	default:
		e.found(k, base, glob)
	}
}

// found takes a glob that is held as the files it matches when an instance starts.
func (e *evaluator) found(k policy.Kind, base, glob string) {
	pattern := base + "/" + glob
	e.add(k, pattern)
	if policy.Check(policy.Rule{Kind: k, Pattern: pattern, Globs: true}) != nil {
		return // which is said when all rules are checked
	}
	missing := "files made later are not seen by it"
	if k == policy.Write {
		missing = "no new file can be made"
	}
	e.warn(e.here(), "write '"+clip(base)+"/**' for all that is in the directory",
		"'%s' is held as the files it matches when an instance starts: %s", clip(pattern), missing)
}

const tmpDir = "/tmp"

// within tells whether p is dir or lies in it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// cutGlob cuts a pattern into the directories before the first segment with a wildcard, and the rest.
func cutGlob(pattern string) (base, glob string) {
	i := strings.IndexAny(pattern, "*?[")
	if i < 0 {
		return pattern, ""
	}
	slash := strings.LastIndexByte(pattern[:i], '/')
	return pattern[:max(0, slash)], pattern[slash+1:]
}

// allowProgram is childProcess.allowSpawningPath.
func (e *evaluator) allowProgram(call goja.FunctionCall) {
	file, ok := e.text(call, "the absolute path of a program")
	if !ok {
		return
	}
	for _, dir := range []string{taskDir, tmpDir} {
		if within(file, dir) && path.Clean(file) == file {
			e.warn(e.here(), "name a program of the host, such as /usr/bin/convert",
				"allowSpawningPath('%s') grants nothing: nothing in %s can be started", clip(file), dir)
			return
		}
	}
	e.add(policy.Exec, file)
}
