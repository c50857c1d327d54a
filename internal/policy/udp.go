// This file exists because datagrams have no connection to decide on: a rule names where they may go,
// and the same host and port over TCP is another matter.

package policy

import "slices"

const dnsPort = 53

// udpRules are the udp rules of a policy, by index in Policy.Rules.
type udpRules struct {
	byEndpoint map[endpoint]int // the first rule of each
	byHost     map[string]int   // … of each host or suffix
}

func (u *udpRules) add(r hostPort) {
	if u.byEndpoint == nil {
		u.byEndpoint, u.byHost = map[endpoint]int{}, map[string]int{}
	}
	setFirst(u.byEndpoint, endpoint{r.host.key(), r.port}, r.rule)
	setFirst(u.byHost, r.host.key(), r.rule)
}

// parseUDPRule refuses port 53: datagrams to it are DNS, which never leaves as it is.
func parseUDPRule(r *Rule) (hostPort, error) {
	u, err := parseHostPort(r)
	if err == nil && u.port == dnsPort {
		err = invalid(`write dns = ["TXT example.com"] for records other than addresses`, "port 53 is DNS, which is answered inside")
	}
	return u, err
}

// find gives the first rule for a canonical host and port, -1 if there is none.
func (u *udpRules) find(host string, port uint16) int {
	return firstOf(u.byEndpoint, endpoint{host, port}, endpoint{suffixOf(host), port})
}

// firstOf gives the lower of two rules, or that of the key that is there, or -1.
func firstOf[K comparable](rules map[K]int, a, b K) int {
	i, okA := rules[a]
	j, okB := rules[b]
	switch {
	case okA && okB:
		return min(i, j)
	case okA:
		return i
	case okB:
		return j
	}
	return -1
}

func (u *udpRules) decide(r *Request, d *Decision) {
	if i := u.find(r.Host, r.Port); i >= 0 {
		d.Allow, d.Rule, d.Reason = true, i, Allowed
		return
	}
	if i := firstOf(u.byHost, r.Host, suffixOf(r.Host)); i >= 0 {
		d.Nearest, d.Reason = i, OtherPort
	}
}

func (u *udpRules) eachExact(f func(host string, port uint16)) {
	for k := range u.byEndpoint {
		if k.host[0] != '.' {
			f(k.host, k.port)
		}
	}
}

// ServesUDP tells whether a udp rule is about a canonical host and port.
func (e *Engine) ServesUDP(host string, port uint16) bool { return e.udps.find(host, port) >= 0 }

// NamesUDP is Names for udp rules.
func (e *Engine) NamesUDP(host string, port uint16) bool {
	if e.ceiling != nil {
		return e.ceiling.names(host, port)
	}
	_, ok := e.udps.byEndpoint[endpoint{host, port}]
	return ok && host != "" && host[0] != '.' && !slices.ContainsFunc(e.bounds, func(b Bound) bool { return !b.Engine.NamesUDP(host, port) })
}

// UDPPorts gives every port that a udp rule names, sorted, without doubles.
func (e *Engine) UDPPorts() []uint16 {
	var ports []uint16
	for k := range e.udps.byEndpoint {
		ports = append(ports, k.port)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// UDPLoopback gives the ports of udp rules whose host is localhost or a loopback address, sorted,
// without doubles.
func (e *Engine) UDPLoopback() []uint16 { return loopbackPorts(e.udps.eachExact) }
