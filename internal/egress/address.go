package egress

// This file exists because a name that the policy allows may lead anywhere: what it resolves to is
// judged by what the address is, in every notation that reaches the same machine.

import (
	"net/netip"
	"slices"
)

// class is what an address is, as far as the way out cares.
type class uint8

const (
	public   class = iota
	private        // RFC 1918, RFC 4193, shared address space (RFC 6598)
	loopback       // this machine
	local          // link-local: the neighbours, and most clouds' metadata service
	metadata       // a cloud's metadata service or host agent outside the link-local ranges
	special        // no host: documentation, multicast, transition, reserved (IANA special-purpose registries)
)

var classNames = [...]string{
	public: "a public address", private: "a private address", loopback: "a loopback address",
	local: "a link-local address", metadata: "a cloud's metadata address", special: "a special-purpose address",
}

func (c class) String() string { return classNames[c] }

type classRange struct {
	class  class
	prefix netip.Prefix
}

// classRanges holds the IANA special-purpose registries (RFC 6890 and its updates) and what clouds
// use; the first match counts. IPv6 outside 2000::/3 is special unless it stands here.
var classRanges = func() (ranges []classRange) {
	for _, r := range []struct {
		class    class
		prefixes []string
	}{
		{metadata, []string{
			"168.63.129.16/32",   // Azure's host agent
			"100.100.100.200/32", // Alibaba Cloud
			"192.0.0.192/32",     // Oracle Cloud
			"fd00:ec2::/32",      // AWS: metadata, DNS, time
			"fd20:ce::/32",       // Google Cloud
		}},
		{loopback, []string{"127.0.0.0/8", "::1/128"}},
		{local, []string{"169.254.0.0/16", "fe80::/10"}},
		{private, []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"}},
		{special, []string{
			"0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
			"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
			"2001::/23",     // IETF protocols, Teredo among them: it embeds an IPv4 address
			"2001:db8::/32", // documentation
			"2002::/16",     // 6to4: embeds an IPv4 address
			"2620:4f:8000::/48", "3fff::/20",
		}},
		{public, []string{"0.0.0.0/0", "2000::/3"}},
		{special, []string{"::/0"}},
	} {
		for _, p := range r.prefixes {
			ranges = append(ranges, classRange{r.class, netip.MustParsePrefix(p)})
		}
	}
	return ranges
}()

// nat64 carries an IPv4 address in its last four bytes, and in networks without IPv4 stands for it
// (RFC 6052, section 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// classify tells what an address is.
func classify(a netip.Addr) class {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	i := slices.IndexFunc(classRanges, func(r classRange) bool { return r.prefix.Contains(a) })
	if i < 0 {
		return special // the invalid address
	}
	return classRanges[i].class
}

// permit tells whether what is for a host may be carried to address a, which the host resolved to. named
// tells whether a rule names the host and port, not by a wildcard. Only a rule that names this very host leads to private addresses; only one that names
// the literal address (or localhost) leads to this machine, its neighbours or a metadata service.
func (f *Function) permit(host string, named bool, a netip.Addr) bool {
	c := classify(a)
	if c == public {
		return true
	}
	if c == special || !f.egress.private || !named {
		return false
	}
	literal, err := netip.ParseAddr(host)
	return c == private || err == nil && literal == a || c == loopback && host == "localhost"
}
