// This file exists because a bootstrap file is a CommonJS script: it gives it the surroundings it
// expects, runs it, and turns what it throws into problems with a place.

package intrinsic

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"

	"github.com/weir-run/weir/internal/policy"
)

const (
	// taskDir is where a function finds its bundle.
	taskDir = "/var/task"
	// script is the bootstrap's own path as it sees it.
	script = taskDir + "/bootstrap.js"
	// maxCalls bounds the depth of JavaScript calls.
	maxCalls = 512
	// maxProblems bounds what is reported about one file, and maxWarnings what is warned of.
	maxProblems = 20
	maxWarnings = 20
	// maxRules bounds the rules of one file, and maxText the length of a text in it, in bytes.
	maxRules = 5000
	maxText  = 8192
)

// evaluator is one run of one script.
type evaluator struct {
	vm      *goja.Runtime
	out     evaluation
	ran     bool  // .run() was called
	mongo   bool  // .virtualizeLib('mongodb') was
	mongoAt place // the first call of policy.mongo
}

// evaluate runs a script and gives what it asks for, or what is wrong with it.
func evaluate(t *task) *evaluation {
	e, src := &evaluator{vm: goja.New()}, string(t.Source)
	e.out.HandlerName = "handler"
	e.vm.SetMaxCallStackSize(maxCalls)
	tree, err := parser.ParseFile(nil, script, src, 0, parser.WithDisableSourceMaps)
	if err == nil {
		var program *goja.Program
		if program, err = goja.CompileAST(tree, false); err == nil {
			err = e.run(program, t)
		}
	}
	switch {
	case err != nil:
		e.failed(src, err)
	case !e.ran && len(e.out.Problems) == 0:
		e.problem(place{}, "write .run() at the end of the calls", "the script never calls .run()")
	}
	for _, list := range [][]problem{e.out.Problems, e.out.Warnings} {
		slices.SortStableFunc(list, func(a, b problem) int {
			return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Column, b.Place.Column))
		})
	}
	return &e.out
}

func (e *evaluator) run(program *goja.Program, t *task) error {
	module, exports := e.vm.NewObject(), e.vm.NewObject()
	process := e.vm.NewObject()
	for object, values := range map[*goja.Object]map[string]any{
		module:  {"exports": exports},
		process: {"env": e.environ(t.Env)},
		e.vm.GlobalObject(): {
			"module": module, "exports": exports, "process": process, "require": e.require, "console": e.console(),
			"__dirname": taskDir, "__filename": script,
		},
	} {
		for name, v := range values {
			if err := object.Set(name, v); err != nil {
				return err
			}
		}
	}
	timer := time.AfterFunc(t.Time, func() { e.vm.Interrupt("time") })
	defer timer.Stop()
	_, err := e.vm.RunProgram(program)
	return err
}

func (e *evaluator) require(call goja.FunctionCall) goja.Value {
	switch name := call.Argument(0).String(); name {
	case "@intrinsic/lambda":
		return e.lambda()
	case "path", "node:path":
		return e.pathModule()
	default:
		e.problem(e.here(), "require nothing but @intrinsic/lambda and path here", "a bootstrap file can't load %q", clip(name))
		panic(e.vm.NewTypeError("Cannot find module"))
	}
}

// console takes what a script prints, and prints nothing.
func (e *evaluator) console() *goja.Object {
	silent := map[string]func(goja.FunctionCall){}
	for _, name := range []string{"log", "info", "warn", "error", "debug"} {
		silent[name] = func(goja.FunctionCall) {}
	}
	return e.object(silent)
}

// lambda is what @intrinsic/lambda exports.
func (e *evaluator) lambda() goja.Value {
	class := e.vm.ToValue(e.construct).(*goja.Object)
	for _, name := range serverForms {
		refused := e.serverForm(name)
		form := func(goja.ConstructorCall) *goja.Object {
			refused(goja.FunctionCall{})
			return nil
		}
		if err := class.Set(name, form); err != nil {
			panic(err)
		}
	}
	return class
}

// pathModule is the part of Node's path that makes paths.
func (e *evaluator) pathModule() goja.Value {
	join := func(parts ...string) string { return path.Join(parts...) }
	resolve := func(parts ...string) string {
		whole := taskDir
		for _, p := range parts {
			if path.IsAbs(p) {
				whole = p
			} else {
				whole = path.Join(whole, p)
			}
		}
		return path.Clean(whole)
	}
	return e.vm.ToValue(map[string]any{
		"join": join, "resolve": resolve, "normalize": path.Clean, "isAbsolute": path.IsAbs, "sep": "/",
		"dirname": path.Dir, "extname": path.Ext,
		"basename": func(p, ext string) string { return strings.TrimSuffix(path.Base(p), ext) },
	})
}

// here gives the place in the script of the call that is being made.
func (e *evaluator) here() place {
	for _, f := range e.vm.CaptureCallStack(0, nil) {
		if f.SrcName() == script {
			return at(f.Position())
		}
	}
	return place{}
}

func at(p file.Position) place { return place{p.Line, p.Column} }

func (e *evaluator) problem(at place, remedy, format string, args ...any) {
	if len(e.out.Problems) < maxProblems {
		e.out.Problems = append(e.out.Problems, problem{at, fmt.Sprintf(format, args...), remedy})
	}
}

// warn tells of what loads, but as less than it says. The same is told once.
func (e *evaluator) warn(at place, remedy, format string, args ...any) {
	w := problem{at, fmt.Sprintf(format, args...), remedy}
	known := slices.ContainsFunc(e.out.Warnings, func(o problem) bool { return o.Message == w.Message })
	if !known && len(e.out.Warnings) < maxWarnings {
		e.out.Warnings = append(e.out.Warnings, w)
	}
}

var missing = regexp.MustCompile(`Object has no member '(\w+)'`)

// failed turns an error of the parser, the compiler or the script into a problem. After a problem
// of ours, what the script throws is its consequence.
func (e *evaluator) failed(src string, err error) {
	var syntax parser.ErrorList
	var compile *goja.CompilerSyntaxError
	var thrown *goja.Exception
	var deep *goja.StackOverflowError
	var interrupted *goja.InterruptedError
	switch {
	case errors.As(err, &syntax) && len(syntax) > 0:
		remedy := ""
		if module.MatchString(src) {
			remedy = "write const IntrinsicLambda = require('@intrinsic/lambda'), not import"
		}
		e.problem(at(syntax[0].Position), remedy, "%s", clip(syntax[0].Message))
	case errors.As(err, &compile):
		p := place{}
		if compile.File != nil {
			p = at(compile.File.Position(compile.Offset))
		}
		e.problem(p, "", "%s", clip(compile.Message))
	case errors.As(err, &interrupted):
		e.problem(place{}, onlyConfigures, "the script takes longer than a second")
	case errors.As(err, &deep):
		e.problem(place{}, onlyConfigures, "the script's calls are nested too deeply")
	case len(e.out.Problems) > 0:
	case errors.As(err, &thrown):
		e.threw(thrown)
	default:
		e.problem(place{}, "", "%s", clip(err.Error()))
	}
}

var module = regexp.MustCompile(`(?m)^\s*(import|export)\b`)

func (e *evaluator) threw(x *goja.Exception) {
	p := place{}
	for _, f := range x.Stack() {
		if f.SrcName() == script {
			p = at(f.Position())
			break
		}
	}
	message, remedy := "a value that is not an error was thrown", ""
	if o, ok := x.Value().(*goja.Object); ok && o.ClassName() == "Error" {
		e.vm.Try(func() { // its toString is the script's
			message, _, _ = strings.Cut(x.Error(), " at "+script)
			message = clip(message)
		})
	}
	if m := missing.FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("there is no %s", m[1])
		if near := policy.Suggest(m[1], methods); near != "" {
			remedy = fmt.Sprintf("did you mean %s?", near)
		}
	}
	e.problem(p, remedy, "%s", message)
}

// clip makes a text of the script fit for a message: one line, not too long.
func clip(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 200 {
		s = s[:200] + "..."
	}
	return strings.Trim(fmt.Sprintf("%+q", s), `"`)
}
