package server

// Which Node.js each function of a site runs on.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// nodesOf finds the Node of each function that can be served: of the version that its policy names, else
// of the site's (0: any). What is missing is fetched. A function whose Node can't be had is broken, the
// others go on; that none at all can be had is the error.
func (m *machine) nodesOf(ctx context.Context, a *build.Artifact, engines map[string]*policy.Engine, major int) (map[string]runtime.Node, error) {
	nodes := map[string]runtime.Node{}
	var last error
	for i := range a.Functions {
		f := &a.Functions[i]
		if f.Err != nil {
			continue
		}
		name := f.Bundle.Function
		n, err := m.node(ctx, cmp.Or(engines[name].Policy().Running.Node, major))
		if err != nil {
			f.Err, last = asBroken(err), err
			continue
		}
		nodes[name] = n
	}
	if len(nodes) == 0 {
		return nodes, last
	}
	return nodes, nil
}

// asBroken makes an error of one function of that of its Node: whoever calls it has done nothing wrong.
func asBroken(err error) error {
	var e *weir.Error
	if !errors.As(err, &e) {
		return err
	}
	return &weir.Error{Code: weir.Broken, Message: e.Message, Remedy: e.Remedy, Err: e.Err}
}

// firstNumber is how Netlify reads a version: "nodejs22.x", "22.x" and "v22" are 22
// (@netlify/zip-it-and-ship-it, src/runtimes/node/utils/node_version.ts).
var firstNumber = regexp.MustCompile(`^\D*(\d+)`)

// jsRuntime gives the major version that a site asks for by the variable AWS_LAMBDA_JS_RUNTIME, as on Netlify, 0 if it
// asks for none; and a warning if there is no such version.
func jsRuntime(value string) (major int, warnings []string) {
	if value == "" {
		return 0, nil
	}
	if m := firstNumber.FindStringSubmatch(value); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && slices.Contains(runtime.Majors, n) {
			return n, nil
		}
	}
	return 0, []string{fmt.Sprintf("%s = %q is no version that functions can run on: they run on the server's; take one of %v", site.JSRuntimeVariable, value, runtime.Majors)}
}
