// This file exists because the API must be there method by method: what each call grants, and what
// is said about those that grant nothing here.

package intrinsic

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/dop251/goja"

	"github.com/weir-run/weir/internal/policy"
)

// Methods of policy.outboundHttp, by the HTTP method they allow.
var httpMethods = map[string]string{
	"allowGet": "GET", "allowPost": "POST", "allowPut": "PUT", "allowDelete": "DELETE", "allowPatch": "PATCH",
	"allowHead": "HEAD", "allowOptions": "OPTIONS", "allowTrace": "TRACE",
}

// Methods of policy.process. All they allow concerns the function's own process, which the sandbox
// shows nothing else; so they need no rule.
var processMethods = []string{
	"allowAbort", "allowChdir", "allowCpuUsage", "allowCwd", "allowExit", "allowGetegid", "allowGeteuid", "allowGetgid",
	"allowGetgroups", "allowGetuid", "allowHrtime", "allowInitgroups", "allowKill", "allowMemoryUsage", "allowSetegid",
	"allowSeteuid", "allowSetgid", "allowSetgroups", "allowSetuid", "allowUmask", "allowUptime",
}

// methods are all names of the API, for suggestions.
var methods = func() []string {
	all := append([]string{
		"configurePolicies", "setHandlerName", "setHandlerFile", "run", "enableMonitorMode", "virtualizeLib",
		"outboundHttp", "outboundNet", "childProcess", "fs", "process", "mongo",
		"allowTcp", "allowUdp", "allowConnect", "allowRead", "allowWrite", "disableDefaults", "allowSpawningPath",
	}, processMethods...)
	for m := range httpMethods {
		all = append(all, m)
	}
	return all
}()

const notYet = "%s is not supported by this version yet"

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
	return e.object(map[string]func(goja.FunctionCall){
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
		"run": func(goja.FunctionCall) {
			switch {
			case e.ran:
				e.problem(e.here(), "call it once", ".run() is called twice: a function has one policy")
			case e.out.HandlerFile == "":
				e.problem(e.here(), "write .setHandlerFile(`${__dirname}/handler.js`) before .run()", "no handler file is set")
			}
			e.ran = true
		},
		"enableMonitorMode": e.refuse(notYet, "enableMonitorMode()", "remove it: denied calls are recorded, and denied"),
		"virtualizeLib":     e.refuse(notYet, "virtualizeLib()", "remove it, and allow the database by policy.outboundNet.allowTcp(host, port)"),
	})
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// refuse is a method that is a problem to call.
func (e *evaluator) refuse(format, what, remedy string) func(goja.FunctionCall) {
	return func(goja.FunctionCall) { e.problem(e.here(), remedy, format, what) }
}

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
		"allowConnect": e.refuse("%s can't be held: a tunnel hides what passes through it", "allowConnect()", "allow each URL that is reached through it, or policy.outboundNet.allowTcp(host, port)"),
	}
	for name, method := range httpMethods {
		http[name] = func(call goja.FunctionCall) { e.allowURL(call, method) }
	}
	process := map[string]func(goja.FunctionCall){}
	for _, name := range processMethods {
		process[name] = func(goja.FunctionCall) {}
	}
	return e.vm.NewDynamicObject(&members{e, "policy", map[string]goja.Value{
		"outboundHttp": e.object(http),
		"outboundNet": e.object(map[string]func(goja.FunctionCall){
			"allowTcp": e.allowTCP,
			"allowUdp": e.refuse(notYet, "allowUdp()", "remove it"),
		}),
		"fs": e.object(map[string]func(goja.FunctionCall){
			"allowRead":       func(call goja.FunctionCall) { e.allowFile(call, policy.Read) },
			"allowWrite":      func(call goja.FunctionCall) { e.allowFile(call, policy.Write) },
			"disableDefaults": func(goja.FunctionCall) {},
		}),
		"childProcess": e.object(map[string]func(goja.FunctionCall){
			"allowSpawningPath": func(call goja.FunctionCall) {
				if file, ok := e.text(call, "the absolute path of a program"); ok {
					e.add(policy.Exec, file)
				}
			},
		}),
		"process": e.object(process),
		"mongo":   e.vm.NewDynamicObject(&members{e: e, name: "policy.mongo"}),
	}})
}

func (e *evaluator) add(k policy.Kind, pattern string) {
	if e.ran {
		e.problem(e.here(), "make the call synchronous, inside configurePolicies", "this call comes after .run()")
	}
	e.out.Rules = append(e.out.Rules, rule{e.here(), k, pattern})
}

// text wants one argument, a string.
func (e *evaluator) text(call goja.FunctionCall, what string) (string, bool) {
	s, ok := call.Argument(0).Export().(string)
	if !ok || len(call.Arguments) != 1 {
		e.problem(e.here(), "", "expected one text, %s", what)
		return "", false
	}
	return s, true
}

func (e *evaluator) allowURL(call goja.FunctionCall, method string) {
	url, ok := e.text(call, "a URL pattern")
	switch {
	case !ok:
	case method == "GET" && (strings.HasPrefix(url, "ws://") || strings.HasPrefix(url, "wss://")):
		e.add(policy.WS, url)
	case strings.ContainsAny(url, " \t\r\n"):
		e.problem(e.here(), "remove it", "the URL pattern holds white space")
	default:
		e.add(policy.HTTP, method+" "+url)
	}
}

func (e *evaluator) allowTCP(call goja.FunctionCall) {
	host, ok := call.Argument(0).Export().(string)
	switch port := call.Argument(1).Export().(type) {
	case int64:
		if ok && len(call.Arguments) == 2 {
			if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
				host = "[" + host + "]"
			}
			e.add(policy.TCP, fmt.Sprintf("%s:%d", host, port))
			return
		}
	case nil:
		if ok && strings.HasPrefix(host, "/") {
			e.problem(e.here(), "connect to a host and port", "no unix socket of the host can be reached from a sandbox")
			return
		}
	}
	e.problem(e.here(), "write allowTcp('db.internal', 5432)", "expected a host and the number of a port")
}

// allowFile takes what the kernel can hold (see the package comment).
func (e *evaluator) allowFile(call goja.FunctionCall, k policy.Kind) {
	pattern, ok := e.text(call, "an absolute path, or DIR/**")
	if !ok {
		return
	}
	tidy := strings.TrimSuffix(pattern, "/*")
	if tidy == pattern || !strings.HasSuffix(tidy, "/**") {
		tidy = pattern
	}
	dir, _, wild := strings.Cut(tidy, "/**")
	if wild && dir+"/**" == tidy && !strings.ContainsAny(dir, "*?[") || !strings.ContainsAny(tidy, "*?[") {
		e.add(k, tidy)
		return
	}
	base := tidy[:strings.IndexAny(tidy, "*?[")]
	if base = base[:strings.LastIndexByte(base, '/')+1]; k == policy.Read && (strings.HasPrefix(base, taskDir+"/") || strings.HasPrefix(base, "/tmp/")) && !strings.Contains(base, "..") {
		return // can be read without a rule
	}
	e.problem(e.here(), fmt.Sprintf("name each file, or write '%s**' for all below the directory", clip(base)), "the kernel can't hold the pattern '%s'", clip(pattern))
}

// members are what an object of the API has. To ask for anything else is a problem; without any
// members, the whole object is not supported.
type members struct {
	e      *evaluator
	name   string
	values map[string]goja.Value
}

// Get gives a member by its name.
func (m *members) Get(key string) goja.Value {
	value, ok := m.values[key]
	switch {
	case ok:
		return value
	case m.values == nil:
		m.e.problem(m.e.here(), "allow the database by policy.outboundNet.allowTcp(host, port)", notYet, m.name+"."+clip(key))
		return m.e.vm.ToValue(func(goja.FunctionCall) goja.Value { return goja.Undefined() })
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
func (m *members) Keys() []string { return slices.Sorted(maps.Keys(m.values)) }
