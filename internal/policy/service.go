// This file exists because the egress must know, before it reads a byte, how a host and port are
// treated, and the sandbox which ports and names a policy speaks of.

package policy

import (
	"net/netip"
	"slices"
)

// endpoint is a canonical host, or the suffix of a wildcard (".example.com"), and a port.
type endpoint struct {
	host string
	port uint16
}

// named is a service and the first rule that names it, an index in Policy.Rules.
type named struct {
	service Service
	rule    int
}

type services struct {
	byEndpoint map[endpoint]named
	globs      []globEndpoint
	tcpHosts   map[string]int // the first tcp rule of each host or suffix
}

// globEndpoint is an http rule whose host has wildcards other than "*." (Intrinsic).
type globEndpoint struct {
	host hostPattern
	port uint16
	rule int
}

func (s *services) find(host string, port uint16) named {
	exact, okExact := s.byEndpoint[endpoint{host, port}]
	wild, okWild := s.byEndpoint[endpoint{suffixOf(host), port}]
	switch {
	case okExact && (!okWild || exact.rule < wild.rule):
		return exact
	case okWild:
		return wild
	}
	for i := range s.globs {
		if g := &s.globs[i]; g.port == port && g.host.match(host) {
			return named{HTTPService, g.rule}
		}
	}
	return named{NoService, -1}
}

// key gives the host of an endpoint; not for globs.
func (h *hostPattern) key() string { return h.exact + h.suffix }

// indexServices fills e.services and gives an error for each tcp rule that overlaps an http rule.
func (e *Engine) indexServices() (errs []error) {
	s := &e.services
	s.byEndpoint, s.tcpHosts = map[endpoint]named{}, map[string]int{}
	under := map[endpoint]int{} // the first http rule with an exact host below a suffix
	for i := range e.urls {
		u := &e.urls[i]
		for _, port := range u.ports() {
			if u.host.labels != nil {
				s.globs = append(s.globs, globEndpoint{u.host, port, u.rule})
				continue
			}
			setFirst(s.byEndpoint, endpoint{u.host.key(), port}, named{HTTPService, u.rule})
			if u.host.exact != "" {
				setFirst(under, endpoint{suffixOf(u.host.exact), port}, u.rule)
			}
		}
	}
	for i := range e.tcps {
		t := &e.tcps[i]
		if http := s.overlap(t, under); http >= 0 {
			errs = append(errs, e.conflict(http, t.rule))
			continue
		}
		setFirst(s.byEndpoint, endpoint{t.host.key(), t.port}, named{TCPService, t.rule})
		setFirst(s.tcpHosts, t.host.key(), t.rule)
	}
	return errs
}

func setFirst[K comparable, V any](m map[K]V, k K, v V) {
	if _, ok := m[k]; !ok {
		m[k] = v
	}
}

// overlap gives an http rule that has a host and port in common with t, or -1.
func (s *services) overlap(t *hostPort, under map[endpoint]int) int {
	host := t.host.exact
	if host == "" {
		if n, ok := s.byEndpoint[endpoint{t.host.suffix, t.port}]; ok && n.service == HTTPService {
			return n.rule
		}
		if rule, ok := under[endpoint{t.host.suffix, t.port}]; ok {
			return rule
		}
		for _, g := range s.globs {
			if g.port == t.port && g.host.overlapsSuffix(t.host.suffix) {
				return g.rule
			}
		}
		return -1
	}
	if n := s.find(host, t.port); n.service == HTTPService {
		return n.rule
	}
	return -1
}

// overlapsSuffix tells whether a host with wildcards can be one label and suffix: every first label
// with wildcards matches something.
func (h *hostPattern) overlapsSuffix(suffix string) bool {
	rest := hostPattern{labels: h.labels[1:]}
	return rest.match(suffix[1:])
}

// Service tells how the egress must treat a canonical host and port.
func (e *Engine) Service(host string, port uint16) Service {
	return e.services.find(host, port).service
}

// Names tells whether an http, ws or tcp rule names this very host and port, not by a wildcard, so that it may lead
// to a private address, and each bound does, too. A ceiling does by its list of such hosts.
func (e *Engine) Names(host string, port uint16) bool {
	if e.ceiling != nil {
		return e.ceiling.names(host, port)
	}
	_, ok := e.services.byEndpoint[endpoint{host, port}]
	return ok && host != "" && host[0] != '.' && !slices.ContainsFunc(e.bounds, func(b Bound) bool { return !b.Engine.Names(host, port) })
}

// Hosts gives the exact names, no addresses, of all http, ws, tcp and udp rules, sorted, without
// doubles.
func (e *Engine) Hosts() []string {
	var hosts []string
	add := func(host string, _ uint16) {
		if _, err := netip.ParseAddr(host); err != nil {
			hosts = append(hosts, host)
		}
	}
	e.eachExact(add)
	e.udps.eachExact(add)
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Ports gives every port that an http, ws or tcp rule names, and 80 and 443, sorted, without doubles.
func (e *Engine) Ports() []uint16 {
	ports := []uint16{80, 443}
	for k := range e.services.byEndpoint {
		ports = append(ports, k.port)
	}
	for _, g := range e.services.globs {
		ports = append(ports, g.port)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// Loopback gives the ports of http, ws and tcp rules whose host is localhost or a loopback address, sorted, without
// doubles.
func (e *Engine) Loopback() []uint16 {
	return loopbackPorts(e.eachExact)
}

func loopbackPorts(each func(func(host string, port uint16))) []uint16 {
	var ports []uint16
	each(func(host string, port uint16) {
		a, err := netip.ParseAddr(host)
		if host == "localhost" || err == nil && a.IsLoopback() {
			ports = append(ports, port)
		}
	})
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (e *Engine) eachExact(f func(host string, port uint16)) {
	for k := range e.services.byEndpoint {
		if k.host[0] != '.' {
			f(k.host, k.port)
		}
	}
}
