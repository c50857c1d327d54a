package egress

// This file exists because a developer has to be able to point a name at another machine (a stand-in,
// a container, a test) without changing what the policy says or whose certificate is asked for.

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// Override sends connections for a host to another address. It changes where is dialled, never
// whether that is allowed nor the name that TLS verifies. Its address is not filtered: who writes it
// names it.
type Override struct {
	host string     // canonical name or address; with down: a name
	down bool       // the names below host, at any depth, not host itself
	port uint16     // 0: any
	addr netip.Addr // where to
	to   uint16     // 0: the port that was asked for
}

// ParseOverride reads HOST[:PORT]=ADDR[:PORT]. HOST is a name, "*.name" for every name below it, or
// an address; ADDR is an address. IPv6 stands in brackets. The error is a *weir.Error.
func ParseOverride(s string) (Override, error) {
	bad := func(format string, args ...any) (Override, error) {
		return Override{}, &weir.Error{Code: weir.Invalid, Message: strconv.QuoteToASCII(s) + ": " + fmt.Sprintf(format, args...),
			Remedy: "write HOST[:PORT]=ADDR[:PORT], for example api.example.com=127.0.0.1:8443; IPv6 stands in brackets"}
	}
	from, to, ok := strings.Cut(s, "=")
	if !ok {
		return bad("there is no =")
	}
	var o Override
	host, port, err := splitPort(from)
	if err != nil {
		return bad("%v", err)
	}
	host, o.down = strings.CutPrefix(host, "*.")
	o.port = port
	if o.host, err = policy.CanonicalHost(host); err != nil {
		return bad("%v", err)
	}
	if _, err := netip.ParseAddr(o.host); err == nil && o.down {
		return bad("no names lie below an address")
	}
	addr, port, err := splitPort(to)
	if err != nil {
		return bad("%v", err)
	}
	o.to = port
	if o.addr, err = netip.ParseAddr(addr); err != nil || o.addr.Zone() != "" {
		return bad("%s is not an IP address", strconv.QuoteToASCII(addr))
	}
	o.addr = o.addr.Unmap()
	return o, nil
}

// splitPort splits "host", "host:port", "[v6]" and "[v6]:port". Port 0: none was given.
func splitPort(s string) (host string, port uint16, err error) {
	host, text, found := s, "", false
	if rest, ok := strings.CutPrefix(s, "["); ok {
		if host, rest, ok = strings.Cut(rest, "]"); !ok || !strings.Contains(host, ":") {
			return "", 0, fmt.Errorf("brackets must hold an IPv6 address")
		}
		if text, found = strings.CutPrefix(rest, ":"); !found && rest != "" {
			return "", 0, fmt.Errorf("%s stands after the bracket", strconv.QuoteToASCII(rest))
		}
	} else if host, text, found = strings.Cut(s, ":"); strings.Contains(text, ":") {
		return "", 0, fmt.Errorf("an IPv6 address must stand in brackets")
	}
	if !found {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return "", 0, fmt.Errorf("%s is not a port from 1 to 65535", strconv.QuoteToASCII(text))
	}
	return host, uint16(n), nil
}

func (o *Override) matches(host string, port uint16) bool {
	if o.port != 0 && o.port != port {
		return false
	}
	if !o.down {
		return host == o.host
	}
	return len(host) > len(o.host)+1 && strings.HasSuffix(host, o.host) && host[len(host)-len(o.host)-1] == '.'
}

// sortOverrides puts the most specific first: hosts before wildcards, long names before short ones,
// those with a port before those without. Of two alike, the later one in the list wins.
func sortOverrides(list []Override) []Override {
	list = slices.Clone(list)
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b Override) int {
		return cmp.Or(
			cmp.Compare(btoi(a.down), btoi(b.down)),
			cmp.Compare(len(b.host), len(a.host)),
			cmp.Compare(btoi(a.port == 0), btoi(b.port == 0)))
	})
	return list
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// override gives the address to dial for host and port instead of resolving it.
func (e *Egress) override(host string, port uint16) (netip.AddrPort, bool) {
	for i := range e.overrides {
		if o := &e.overrides[i]; o.matches(host, port) {
			return netip.AddrPortFrom(o.addr, cmp.Or(o.to, port)), true
		}
	}
	return netip.AddrPort{}, false
}
