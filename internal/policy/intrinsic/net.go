// This file exists because outboundHttp and outboundNet speak of what leaves the function: how their
// arguments become rules of the policy's own language.

package intrinsic

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"github.com/weir-run/weir/internal/policy"
)

func (e *evaluator) allowURL(call goja.FunctionCall, method string) {
	url, ok := e.text(call, "a URL pattern")
	if !ok {
		return
	}
	url = e.narrowed(e.bare(url))
	switch {
	case method == "GET" && (strings.HasPrefix(url, "ws://") || strings.HasPrefix(url, "wss://")):
		e.add(policy.WS, url)
	case strings.ContainsAny(url, " \t\r\n"):
		e.problem(e.here(), "remove it", "the URL pattern holds white space")
	default:
		e.add(policy.HTTP, method+" "+url)
	}
}

// query finds a query in a pattern. A "?" is a wildcard as well: it begins a query where a name and
// "=" follow it, in the last segment.
var query = regexp.MustCompile(`\?[^/?=]+=.*$`)

// bare gives a pattern without its query and fragment, which Intrinsic matched in no request.
func (e *evaluator) bare(url string) string {
	bare, _, _ := strings.Cut(url, "#")
	if bare = query.ReplaceAllString(bare, ""); bare != url {
		e.warn(e.here(), "end the pattern with the path", "a query or fragment is not part of what is matched: the rule is about every query of '%s'", clip(bare))
	}
	return bare
}

// narrowed gives a pattern in which "**" with other characters in its segment is "*": what it could
// mean beyond a segment differs from one reader to the next.
func (e *evaluator) narrowed(pattern string) string {
	parts := strings.Split(pattern, "/")
	changed := false
	for i, p := range parts {
		if p == "**" || !strings.Contains(p, "**") {
			continue
		}
		for strings.Contains(p, "**") {
			p = strings.ReplaceAll(p, "**", "*")
		}
		parts[i], changed = p, true
	}
	if changed {
		pattern = strings.Join(parts, "/")
		e.warn(e.here(), "write /**/ for any number of segments", "** beside other characters is *: the pattern is held as '%s'", clip(pattern))
	}
	return pattern
}

func (e *evaluator) allowTCP(call goja.FunctionCall) {
	if path, ok := str(call.Argument(0)); ok && len(call.Arguments) == 1 && strings.HasPrefix(path, "/") {
		e.warn(e.here(), "connect to a host and port", "allowTcp('%s') grants nothing: no unix socket of the host can be reached from a sandbox", clip(path))
		return
	}
	if target, ok := e.endpoint(call, "allowTcp"); ok {
		e.add(policy.TCP, target)
	}
}

func (e *evaluator) allowUDP(call goja.FunctionCall) {
	target, ok := e.endpoint(call, "allowUdp")
	switch {
	case !ok:
	case strings.HasSuffix(target, ":53"):
		e.warn(e.here(), "remove it; use node:dns as before", "allowUdp(host, 53) grants nothing: DNS is answered inside the sandbox")
	default:
		e.add(policy.UDP, target)
	}
}

// endpoint reads the arguments (host, port) and gives "host:port". Hosts are exact here, as in
// Intrinsic.
func (e *evaluator) endpoint(call goja.FunctionCall, method string) (string, bool) {
	host, ok := str(call.Argument(0))
	port, _ := str(call.Argument(1))
	if n, ok := call.Argument(1).Export().(int64); ok {
		port = strconv.FormatInt(n, 10)
	}
	switch {
	case !ok || port == "" || len(call.Arguments) != 2:
		e.problem(e.here(), fmt.Sprintf("write %s('stats.internal', 8125)", method), "expected a host and the number of a port")
		return "", false
	case strings.ContainsAny(host, "*?["):
		e.problem(e.here(), "name each host", "%s takes no pattern: '%s' would be a host of that name", method, clip(host))
		return "", false
	}
	return hostPort(host, port), true
}

func hostPort(host, port string) string {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + host + "]"
	}
	return host + ":" + port
}
