// This file exists because the API must be there method by method: what each call grants, and what
// is said about those that grant nothing here.

package intrinsic

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/dop251/goja"

	"github.com/weir-run/weir/internal/policy"
)

// Methods of policy.outboundHttp, by the HTTP method they allow.
var httpMethods = map[string]string{
	"allowGet": "GET", "allowPost": "POST", "allowPut": "PUT", "allowDelete": "DELETE", "allowPatch": "PATCH",
	"allowHead": "HEAD", "allowOptions": "OPTIONS",
}

// Methods of policy.process. All they allow concerns the function's own process, which the sandbox
// shows nothing else; so they need no rule.
var processMethods = []string{
	"allowAbort", "allowChdir", "allowCpuUsage", "allowCwd", "allowExit", "allowGetegid", "allowGeteuid", "allowGetgid",
	"allowGetgroups", "allowGetuid", "allowHrtime", "allowInitgroups", "allowKill", "allowMemoryUsage", "allowSetegid",
	"allowSeteuid", "allowSetgid", "allowSetgroups", "allowSetuid", "allowUmask", "allowUptime",
}

// What Intrinsic had for servers: a sandbox for each route.
var serverForms = []string{"HttpServer", "addSandbox", "allSandboxes", "allRoutes", "fallback"}

// methods are all names of the API, for suggestions.
var methods = func() []string {
	all := append([]string{
		"configurePolicies", "setHandlerName", "setHandlerFile", "run", "enableMonitorMode", "virtualizeLib",
		"outboundHttp", "outboundNet", "childProcess", "fs", "process", "mongo",
		"allowTcp", "allowUdp", "allowConnect", "allowTrace", "allowRead", "allowWrite", "disableDefaults", "allowSpawningPath",
	}, processMethods...)
	for m := range httpMethods {
		all = append(all, m)
	}
	return all
}()

// object makes an object whose methods return it, so that calls can be chained.
func (e *evaluator) object(functions map[string]func(goja.FunctionCall)) *goja.Object {
	o := e.vm.NewObject()
	for name, f := range functions {
		method := func(call goja.FunctionCall) goja.Value {
			f(call)
			return o
		}
		if err := o.Set(name, method); err != nil {
			panic(err)
		}
	}
	return o
}

// construct is `new IntrinsicLambda()`.
func (e *evaluator) construct(goja.ConstructorCall) *goja.Object {
	functions := map[string]func(goja.FunctionCall){
		"configurePolicies": e.configure,
		"setHandlerName": func(call goja.FunctionCall) {
			name, ok := e.text(call, "the name of the handler's export")
			if ok && !identifier.MatchString(name) {
				e.problem(e.here(), "", "%q is not the name of an export", clip(name))
			}
			e.out.HandlerName = name
		},
		"setHandlerFile": func(call goja.FunctionCall) {
			e.out.HandlerFile, _ = e.text(call, "the path of the handler's file")
			e.out.HandlerAt = e.here()
		},
		"run":               func(goja.FunctionCall) { e.finish() },
		"enableMonitorMode": e.enableMonitorMode,
		"virtualizeLib":     e.virtualizeLib,
	}
	for _, name := range serverForms {
		functions[name] = e.serverForm(name)
	}
	return e.object(functions)
}

// serverForm is a part of Intrinsic's API for servers, which a function has no use for.
func (e *evaluator) serverForm(name string) func(goja.FunctionCall) {
	return func(goja.FunctionCall) {
		e.problem(e.here(), "write one bootstrap file for each function: new IntrinsicLambda().configurePolicies(policy => { ... })",
			"%s is part of Intrinsic's API for servers: a function has one policy, no routes", name)
	}
}

// finish is run().
func (e *evaluator) finish() {
	switch {
	case e.ran:
		e.problem(e.here(), "call it once", ".run() is called twice: a function has one policy")
	case e.out.HandlerFile == "":
		e.problem(e.here(), "write .setHandlerFile(`${__dirname}/handler.js`) before .run()", "no handler file is set")
	case e.mongoAt != place{} && !e.mongo:
		e.problem(e.mongoAt, "write .virtualizeLib('mongodb') before .run()", "policy.mongo is used without .virtualizeLib('mongodb')")
	}
	e.ran = true
}

func (e *evaluator) enableMonitorMode(call goja.FunctionCall) {
	if len(call.Arguments) > 0 {
		e.problem(e.here(), "call it, or don't", "enableMonitorMode() takes no argument: to call it is to enable it")
		return
	}
	e.inTime()
	e.out.Monitor, e.out.MonitorAt = true, e.here()
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// configure calls the script's function with a policy.
func (e *evaluator) configure(call goja.FunctionCall) {
	f, ok := goja.AssertFunction(call.Argument(0))
	if !ok {
		e.problem(e.here(), "write .configurePolicies(policy => { ... })", "configurePolicies needs a function")
		return
	}
	at := e.here()
	result, err := f(goja.Undefined(), e.policy())
	if err != nil {
		panic(err)
	}
	if _, async := result.Export().(*goja.Promise); async {
		e.problem(at, "make the function synchronous", "policies can't be configured by an async function")
	}
}

// policy is the object that the script configures.
func (e *evaluator) policy() *goja.Object {
	http := map[string]func(goja.FunctionCall){
		"allowConnect": e.nothing("allowConnect()", "a tunnel hides what passes through it, so none is let through",
			"allow each URL that is reached through it, or policy.outboundNet.allowTcp(host, port)"),
		"allowTrace": e.nothing("allowTrace()", "TRACE shows what was sent, credentials included, so it is never let through", "remove it"),
	}
	for name, method := range httpMethods {
		http[name] = func(call goja.FunctionCall) { e.allowURL(call, method) }
	}
	return e.vm.NewDynamicObject(&members{e: e, name: "policy", values: map[string]goja.Value{
		"outboundHttp": e.object(http),
		"outboundNet": e.object(map[string]func(goja.FunctionCall){
			"allowTcp": e.allowTCP,
			"allowUdp": e.allowUDP,
		}),
		"fs": e.object(map[string]func(goja.FunctionCall){
			"allowRead":       func(call goja.FunctionCall) { e.allowFile(call, policy.Read) },
			"allowWrite":      func(call goja.FunctionCall) { e.allowFile(call, policy.Write) },
			"disableDefaults": func(goja.FunctionCall) {},
		}),
		"childProcess": e.object(map[string]func(goja.FunctionCall){"allowSpawningPath": e.allowProgram}),
		"process":      e.process(),
		"mongo":        e.mongoPolicy(),
	}})
}

// process is policy.process. A call of the kind that is not known is accepted as those that are.
func (e *evaluator) process() goja.Value {
	m := &members{e: e, name: "policy.process", values: map[string]goja.Value{}}
	o := e.vm.NewDynamicObject(m)
	allowed := e.vm.ToValue(func(goja.FunctionCall) goja.Value { return o })
	for _, name := range processMethods {
		m.values[name] = allowed
	}
	m.other = func(string) goja.Value { return allowed }
	return o
}

// nothing is a method that grants nothing here, which is said.
func (e *evaluator) nothing(what, why, remedy string) func(goja.FunctionCall) {
	return func(goja.FunctionCall) { e.warn(e.here(), remedy, "%s grants nothing: %s", what, why) }
}

// inTime makes a call after run() a problem: the policy is fixed by then.
func (e *evaluator) inTime() {
	if e.ran {
		e.problem(e.here(), "make the call synchronous, inside configurePolicies", "this call comes after .run()")
	}
}

// str gives a value that is a text; a symbol, which exports as one, is none.
func str(v goja.Value) (string, bool) {
	s, ok := v.Export().(string)
	_, symbol := v.(*goja.Symbol)
	return s, ok && !symbol
}

func (e *evaluator) add(k policy.Kind, pattern string) {
	e.inTime()
	switch {
	case len(e.out.Rules) >= maxRules:
		e.problem(e.here(), "use patterns", "the script makes more than %d rules", maxRules)
		panic(e.vm.NewTypeError("too many rules"))
	case len(pattern) > maxText:
		e.problem(e.here(), "shorten it", "a pattern is longer than %d bytes", maxText)
		return
	}
	e.out.Rules = append(e.out.Rules, rule{e.here(), k, pattern})
}

// text wants one argument, a string.
func (e *evaluator) text(call goja.FunctionCall, what string) (string, bool) {
	s, ok := str(call.Argument(0))
	switch {
	case !ok || len(call.Arguments) != 1:
		e.problem(e.here(), "", "expected one text, %s", what)
	case len(s) > maxText:
		e.problem(e.here(), "shorten it", "a text is longer than %d bytes", maxText)
	default:
		return s, true
	}
	return "", false
}

// members are what an object of the API has. To ask for anything else is a problem, unless other
// takes it.
type members struct {
	e      *evaluator
	name   string
	values map[string]goja.Value
	other  func(key string) goja.Value // for names like allowThis; may be nil
}

var allowing = regexp.MustCompile(`^allow[A-Z][A-Za-z]*$`)

// Get gives a member by its name.
func (m *members) Get(key string) goja.Value {
	value, ok := m.values[key]
	switch {
	case ok:
		return value
	case m.other != nil && allowing.MatchString(key):
		return m.other(key)
	}
	remedy := "the members are " + strings.Join(m.Keys(), ", ")
	if near := policy.Suggest(key, m.Keys()); near != "" {
		remedy = fmt.Sprintf("did you mean %s.%s?", m.name, near)
	}
	m.e.problem(m.e.here(), remedy, "there is no %s.%s", m.name, clip(key))
	return goja.Undefined()
}

// Set, Delete, Has and Keys complete goja.DynamicObject: the members can't be changed.
func (m *members) Set(string, goja.Value) bool { return false }

// Delete is never done.
func (m *members) Delete(string) bool { return false }

// Has tells whether there is a member.
func (m *members) Has(key string) bool { return m.values[key] != nil }

// Keys gives the names of the members, sorted.
func (m *members) Keys() []string { return sorted(m.values) }

func sorted(values map[string]goja.Value) []string { return slices.Sorted(maps.Keys(values)) }
