package learn

// From a record back to what was decided on: only what parses as the engine would have parsed it counts.

import (
	"net"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// kinds are the kinds of records that a rule can be about.
var kinds = map[string]policy.Kind{
	"http": policy.HTTP, "ws": policy.WS, "tcp": policy.TCP, "udp": policy.UDP, "dns": policy.DNS,
	"read": policy.Read, "write": policy.Write, "exec": policy.Exec, "env": policy.Env, "addon": policy.Addon,
}

// unknownQuery stands for the query of a call, which no record holds: no rule that binds the query
// allows it, and the reason then is policy.OtherQuery.
const unknownQuery = "%"

// requestOf gives the request that a record tells of; false if no rule could name it. A text that was
// cut is not taken for the whole, nor one that stands for many, such as "(a child process)".
func requestOf(d *record.Decision) (r policy.Request, ok bool) {
	kind, known := kinds[d.Kind]
	if !known || strings.HasPrefix(d.Target, "(") || strings.HasSuffix(d.Target, "...") || strings.HasSuffix(d.Target, "…") {
		return r, false
	}
	var err error
	switch kind {
	case policy.HTTP, policy.WS:
		scheme, rest, _ := strings.Cut(d.Target, "://")
		authority, path, found := strings.Cut(rest, "/")
		if !found {
			return r, false
		}
		if kind == policy.HTTP {
			r, err = policy.NewHTTP(d.Method, scheme, authority, "/"+path)
		} else {
			r, err = policy.NewWS(scheme, authority, "/"+path)
		}
	case policy.TCP, policy.UDP:
		var host, text string
		if host, text, err = net.SplitHostPort(d.Target); err != nil {
			return r, false
		}
		port, bad := strconv.ParseUint(text, 10, 16)
		if bad != nil {
			return r, false
		}
		if kind == policy.TCP {
			r, err = policy.NewTCP(host, uint16(port))
		} else {
			r, err = policy.NewUDP(host, uint16(port))
		}
	case policy.DNS:
		typ, name, _ := strings.Cut(d.Target, " ")
		r, err = policy.NewDNS(typ, name)
	case policy.Env:
		r = policy.Request{Kind: policy.Env, Path: d.Target}
	default:
		r, err = policy.NewFile(kind, d.Target)
	}
	if kind == policy.HTTP || kind == policy.WS {
		r.URL.Query = unknownQuery
	}
	return r, err == nil
}

// patternOf gives the pattern of the rule that allows a request and nothing else, but for HTTP and
// WebSockets.
func patternOf(r *policy.Request) string {
	switch r.Kind {
	case policy.TCP, policy.UDP:
		return net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
	case policy.DNS:
		return r.Type + " " + r.Host
	case policy.Write:
		if r.Path == "/tmp" || strings.HasPrefix(r.Path, "/tmp/") {
			return "/tmp/**"
		}
	case policy.Addon:
		return ""
	}
	return r.Path
}
