// This file exists because policy.mongo is about a database and its collections, and what is held here
// are connections: a connection string becomes rules for its hosts, and what it can't become is said.

package intrinsic

import (
	"net"
	"strings"

	"github.com/dop251/goja"

	"github.com/weir-run/weir/internal/policy"
)

// mongoPort is where MongoDB listens unless a connection string says otherwise.
const mongoPort = "27017"

const mongoRemedy = "write mongodb://HOST:PORT/DATABASE, without user and password"

func (e *evaluator) virtualizeLib(call goja.FunctionCall) {
	name, ok := e.text(call, "the name of a library")
	switch e.inTime(); {
	case !ok:
	case name == "mongodb":
		e.mongo = true
	default:
		e.warn(e.here(), "allow its connections by policy.outboundNet.allowTcp(host, port)", "virtualizeLib('%s') grants nothing", clip(name))
	}
}

// mongoPolicy is policy.mongo.
func (e *evaluator) mongoPolicy() goja.Value {
	m := &members{e: e, name: "policy.mongo", values: map[string]goja.Value{}}
	o := e.vm.NewDynamicObject(m)
	m.values["allowConnect"] = e.vm.ToValue(func(call goja.FunctionCall) goja.Value {
		e.mongoUsed()
		e.allowMongo(call)
		return o
	})
	m.other = func(string) goja.Value {
		return e.vm.ToValue(func(goja.FunctionCall) goja.Value {
			e.mongoUsed()
			e.warn(e.here(), "give the database's user no more rights than the function needs",
				"collections are not told apart: whoever may connect may do all that the database's user may")
			return o
		})
	}
	return o
}

func (e *evaluator) mongoUsed() {
	if (e.mongoAt == place{}) {
		e.mongoAt = e.here()
	}
}

// allowMongo turns a connection string into rules. No part of it but hosts is kept or shown: it may
// hold a password.
func (e *evaluator) allowMongo(call goja.FunctionCall) {
	s, ok := str(call.Argument(0))
	if !ok || len(call.Arguments) != 1 {
		e.problem(e.here(), mongoRemedy+"; variables of the site are not seen here", "expected one text, a connection string")
		return
	}
	scheme, rest, _ := strings.Cut(s, "://")
	authority, _, _ := strings.Cut(rest, "/")
	authority, _, _ = strings.Cut(authority, "?")
	hosts := strings.Split(authority[strings.LastIndexByte(authority, '@')+1:], ",")
	switch {
	case scheme == "mongodb":
		for _, h := range hosts {
			e.mongoHost(h)
		}
	case scheme == "mongodb+srv" && len(hosts) == 1:
		e.mongoSRV(hosts[0])
	default:
		e.problem(e.here(), mongoRemedy, "the text is not a connection string of MongoDB")
	}
}

func (e *evaluator) mongoHost(h string) {
	host, port, err := net.SplitHostPort(h)
	if err != nil {
		host, port = strings.Trim(h, "[]"), mongoPort
	}
	switch {
	case strings.HasSuffix(h, ".sock"):
		e.warn(e.here(), "connect to a host and port", "a unix socket in a connection string grants nothing: none of the host can be reached from a sandbox")
		return
	case !isHost(host) || strings.Trim(port, "0123456789") != "":
		// What stands there is not shown: it may be a part of a password.
		e.problem(e.here(), mongoRemedy, "the connection string names no host and port where it should")
		return
	}
	e.add(policy.TCP, hostPort(host, port))
}

func isHost(s string) bool {
	_, err := policy.CanonicalHost(s)
	return err == nil
}

// mongoSRV allows the questions that find a cluster's hosts, and those hosts where they can be told from
// anybody's: they lie in the parent domain of the name (MongoDB's specification "Initial DNS Seedlist
// Discovery"), which for a name of three labels may be the provider's.
func (e *evaluator) mongoSRV(host string) {
	if !isHost(host) {
		e.problem(e.here(), "write mongodb+srv://NAME/DATABASE", "the connection string names no host where it should")
		return
	}
	e.add(policy.DNS, "SRV _mongodb._tcp."+host)
	e.add(policy.DNS, "TXT "+host)
	if _, parent, _ := strings.Cut(host, "."); strings.Count(parent, ".") >= 2 {
		e.add(policy.TCP, "*."+parent+":"+mongoPort)
		return
	}
	e.warn(e.here(), "name each by policy.outboundNet.allowTcp(host, 27017)", "the cluster's hosts are found by DNS, and their domain may be shared with others: none of them is allowed")
}
