// Package intrinsic reads policies from the bootstrap files of Intrinsic for AWS Lambda, a
// JavaScript API of 2016-2019, unchanged. It must not know how a policy is enforced, nor the other
// front end. The file is a script, and not trusted: it is evaluated in a child process that has
// limits of time and memory, and it can reach nothing but the API, `path`, `__dirname`,
// `__filename` and the variables in Variables.
//
// # Decisions
//
//   - What a file says loads, though it be held as less; then a warning says so. It is an error only
//     where nobody can say what is meant. A script can't catch these errors.
//   - `__dirname` is /var/task, where the function will find its files, not the directory on the
//     host. The handler's file must lie below it.
//   - URL patterns are Intrinsic's: "*", "?", "[abc]" within a segment, "**" for segments. In a host,
//     no wildcard crosses a dot and the last label must be plain. A ws:// or wss:// URL in allowGet
//     allows WebSockets. A query or fragment is cut off.
//   - File patterns are a file, DIR/** and DIR/**/*, which means the same. Finer ones become rules
//     for the files that they match when an instance starts (policy.Glob), never for more. What can
//     be read anyway, in /var/task and /tmp, needs no rule.
//   - fs.disableDefaults() and policy.process.* are accepted and change nothing: the sandbox shows a
//     function only its own bundle and its own processes.
//   - policy.mongo.allowConnect becomes tcp rules, and for mongodb+srv:// dns rules. What is said of
//     collections is not held.
package intrinsic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// onlyConfigures is the remedy for scripts that run into a bound.
const onlyConfigures = "a bootstrap file only configures: it needs little time and memory"

const (
	maxSource = 1 << 20 // bytes of a bootstrap file
	maxErrors = 50      // that are told of one file
)

// Bootstrap is what a bootstrap file says.
type Bootstrap struct {
	Policy      *policy.Policy
	Warnings    []*weir.Error // what is held as less than the file says
	HandlerFile string        // absolute path on the host, in the directory of the bootstrap file or below
	HandlerName string        // name of the export that is the handler
}

// loads finds a line on which the module is loaded and no comment begins before.
var loads = regexp.MustCompile("(?m)^(?:[^/\n]|/[^/\n])*(?:\\brequire\\s*\\(|\\bfrom|\\bimport)\\s*['\"`]@intrinsic/lambda['\"`]")

// IsBootstrap tells whether a function's own file is a bootstrap file: one that loads
// @intrinsic/lambda.
func IsBootstrap(src []byte) bool { return loads.Match(src) }

// Variables are those of the site that a bootstrap file may see: what tells one deployment from
// another, and no secret.
var Variables = []string{"NODE_ENV", "CONTEXT", "BRANCH", "NETLIFY", "NETLIFY_DEV", "AWS_REGION"}

// Load evaluates a bootstrap file, which sees those of the site's variables that Variables names. Each
// error is a *weir.Error with file, line and column where there is one; several are joined.
func Load(path string, env map[string]string) (*Bootstrap, error) {
	src, err := read(path)
	if err != nil {
		return nil, err
	}
	l := &loader{path: path}
	out, err := evaluateInChild(src, Visible(env))
	if err != nil {
		return nil, l.error(problem{Message: err.Error(), Remedy: onlyConfigures})
	}
	for _, p := range out.Problems {
		l.errs = append(l.errs, l.error(p))
	}
	b := &Bootstrap{HandlerName: out.HandlerName, Policy: &policy.Policy{Source: path, Intrinsic: true}}
	if out.Monitor {
		b.Policy.Mode, b.Policy.Settings = policy.Monitor, map[string]weir.Position{"mode": l.at(out.MonitorAt)}
	}
	for _, w := range out.Warnings {
		b.Warnings = append(b.Warnings, l.error(w))
	}
	for _, r := range out.Rules {
		b.Policy.Rules = append(b.Policy.Rules, policy.Rule{
			Kind: r.Kind, Pattern: r.Pattern, Globs: true, Pos: l.at(r.Place),
		})
	}
	if _, err := policy.Compile(b.Policy); err != nil {
		l.errs = append(l.errs, each(err)...)
	}
	if len(out.Problems) == 0 {
		if b.HandlerFile, err = l.handler(out.HandlerFile, out.HandlerAt); err != nil {
			l.errs = append(l.errs, err)
		}
	}
	switch len(l.errs) {
	case 0:
		return b, nil
	case 1:
		return nil, l.errs[0]
	}
	return nil, errors.Join(l.errs[:min(len(l.errs), maxErrors)]...)
}

// each gives the errors that are joined in err.
func each(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	return []error{err}
}

func read(path string) ([]byte, error) {
	bad := func(message string, err error) error {
		return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: message, Err: err}
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, bad("is not a file", nil)
	}
	if err == nil && info.Size() > maxSource {
		return nil, bad("a bootstrap file may not be larger than 1MB", nil)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		var reason *os.PathError
		if errors.As(err, &reason) {
			err = reason.Err
		}
		return nil, bad("can't be read", err)
	}
	return src, nil
}

// loader keeps the errors of one file.
type loader struct {
	path string
	errs []error
}

func (l *loader) at(p place) weir.Position {
	return weir.Position{File: l.path, Line: p.Line, Column: p.Column}
}

func (l *loader) error(p problem) *weir.Error {
	return &weir.Error{Code: weir.Invalid, Pos: l.at(p.Place), Message: p.Message, Remedy: p.Remedy}
}

// handler finds the handler's file on the host by its path in the sandbox. As with require, the
// extension may be left out.
func (l *loader) handler(inside string, at place) (string, error) {
	rel, ok := strings.CutPrefix(filepath.Clean(inside), taskDir+"/")
	if !ok {
		return "", l.error(problem{at, fmt.Sprintf("handler file %q is not in the directory of this file", inside),
			"write .setHandlerFile(`${__dirname}/handler.js`)"})
	}
	dir, err := filepath.Abs(filepath.Dir(l.path))
	if err != nil {
		return "", &weir.Error{Code: weir.Internal, Message: "can't find the working directory", Err: err}
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", &weir.Error{Code: weir.Internal, Message: "can't resolve " + dir, Err: err}
	}
	for _, ext := range []string{"", ".js", ".cjs", ".mjs", ".ts"} {
		file := filepath.Join(dir, rel) + ext
		real, err := filepath.EvalSymlinks(file)
		if err != nil {
			continue
		}
		info, err := os.Stat(real)
		switch self, _ := os.Stat(l.path); {
		case err != nil || !info.Mode().IsRegular():
			continue
		case os.SameFile(info, self):
			return "", l.error(problem{at, "the handler file is the bootstrap file itself", "put the handler in a file of its own"})
		case !strings.HasPrefix(real, root+string(filepath.Separator)):
			return "", l.error(problem{at, fmt.Sprintf("handler file %q is a link out of the directory of this file", rel), "put the file itself there"})
		}
		return file, nil
	}
	return "", l.error(problem{at, fmt.Sprintf("handler file %q does not exist", rel), "create it next to this file, or correct the name"})
}
