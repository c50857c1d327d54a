// This file exists because a host must have one spelling before it is compared: the resolver, the
// TLS handshake, the Host header and the policy all have to mean the same machine.

package policy

import (
	"net/netip"
	"strconv"
	"strings"
)

// Ambiguous is the error of a request that can be read in two ways, or in none. Such a request is
// refused whatever the policy says. Reason is one line, safe for a log.
type Ambiguous struct{ Reason string }

// Error gives the reason.
func (a *Ambiguous) Error() string { return a.Reason }

func ambiguous(reason string) error { return &Ambiguous{reason} }

// Limits of DNS names, in bytes (RFC 1035, section 2.3.4).
const (
	maxName  = 253
	maxLabel = 63
)

// CanonicalHost gives the one spelling of a host: a name of letters, digits, hyphens and underscores
// in lower case, an IPv4 address in four decimal parts, or an IPv6 address as in RFC 5952 without
// brackets. The error is an *Ambiguous for everything that some reader takes for another host: other
// characters, a trailing dot, IPv4 in short, octal, decimal or hexadecimal form, IPv4 in IPv6, zones.
func CanonicalHost(s string) (string, error) {
	switch {
	case s == "":
		return "", ambiguous("the host is empty")
	case strings.IndexByte(s, ':') >= 0:
		return canonicalIPv6(s)
	case s[len(s)-1] == '.':
		return "", ambiguous("the host ends with a dot")
	case len(s) > maxName:
		return "", ambiguous("the host is longer than 253 bytes")
	}
	label, upper := 0, false // start of the current label
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == '.' {
			if err := checkLabel(s[label:i]); err != nil {
				return "", err
			}
			label = i + 1
			continue
		}
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= 0x80:
			return "", ambiguous("the host holds a character outside ASCII; its name in DNS begins with xn--")
		default:
			return "", ambiguous("the host holds the character " + strconv.QuoteToASCII(string(c)))
		}
	}
	if upper {
		s = strings.ToLower(s)
	}
	if last := s[strings.LastIndexByte(s, '.')+1:]; numeric(last) {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() || a.String() != s {
			return "", ambiguous("the host is an IPv4 address in an unusual form")
		}
	}
	return s, checkIDN(s)
}

// checkLabel holds one label to the length of RFC 1035 and the hyphen rule of RFC 1123.
func checkLabel(l string) error {
	switch {
	case l == "":
		return ambiguous("the host has an empty label")
	case len(l) > maxLabel:
		return ambiguous("the host has a label longer than 63 bytes")
	case l[0] == '-' || l[len(l)-1] == '-':
		return ambiguous("the host has a label that begins or ends with a hyphen")
	}
	return nil
}

// numeric tells whether a host whose last label this is is an IPv4 address to a lenient reader
// (WHATWG URL, "ends in a number").
func numeric(label string) bool {
	if strings.HasPrefix(label, "0x") {
		return strings.Trim(label[2:], "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

func canonicalIPv6(s string) (string, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return "", ambiguous("the host is not an IPv6 address")
	case a.Zone() != "":
		return "", ambiguous("the host is an IPv6 address with a zone")
	case a.Is4In6():
		return "", ambiguous("the host is an IPv4 address in an IPv6 address")
	}
	return a.String(), nil
}

// splitAuthority gives the canonical host and the port, or port 0 if there is none, of "host",
// "host:port", "[v6]" or "[v6]:port".
func splitAuthority(s string) (host string, port uint16, err error) {
	if strings.IndexByte(s, '@') >= 0 {
		return "", 0, ambiguous("the authority holds user information")
	}
	name, portText, found := s, "", false
	if strings.HasPrefix(s, "[") {
		var rest string
		if name, rest, found = strings.Cut(s[1:], "]"); !found || strings.IndexByte(name, ':') < 0 {
			return "", 0, ambiguous("the brackets hold no IPv6 address")
		}
		if portText, found = strings.CutPrefix(rest, ":"); !found && rest != "" {
			return "", 0, ambiguous("there is text after the bracket")
		}
	} else {
		name, portText, found = strings.Cut(s, ":")
		if strings.IndexByte(portText, ':') >= 0 {
			return "", 0, ambiguous("an IPv6 address must stand in brackets")
		}
	}
	if found {
		if port, err = parsePort(portText); err != nil {
			return "", 0, err
		}
	}
	host, err = CanonicalHost(name)
	return host, port, err
}

// parsePort reads 1 to 65535 in plain decimal: no sign, no leading zero.
func parsePort(s string) (uint16, error) {
	if s == "" || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, ambiguous("the port is not a plain number from 1 to 65535")
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, ambiguous("the port is not a plain number from 1 to 65535")
	}
	return uint16(n), nil
}
