package lint

// Rules about hosts: too many of them, somebody else's, or unseen.

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/weir-run/weir/internal/policy"
)

// parts are the parts of the pattern of a valid rule.
type parts struct {
	scheme   string // "" for tcp and udp
	wildcard bool   // the host begins with "*." or holds other wildcards
	host     string // lower case; what stands behind the label with the last wildcard, if there is one
	port     string
	segments []string // of the path
}

func split(r *policy.Rule) parts {
	text := r.Pattern[strings.LastIndexByte(r.Pattern, ' ')+1:] // after the method
	var p parts
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		p.scheme, text = scheme, rest
	}
	authority, path, _ := strings.Cut(text, "/")
	p.segments = strings.Split(path, "/")
	p.host = strings.ToLower(authority)
	if i := strings.LastIndexByte(p.host, ':'); i > strings.LastIndexByte(p.host, ']') {
		p.host, p.port = p.host[:i], p.host[i+1:]
	}
	if strings.Contains(p.host, ":") {
		p.host = strings.Trim(p.host, "[]") // IPv6
	} else if labels := strings.Split(p.host, "."); strings.ContainsAny(p.host, "*?[") {
		p.wildcard = true
		for i, l := range labels {
			if strings.ContainsAny(l, "*?[") {
				p.host = strings.Join(labels[i+1:], ".")
			}
		}
	}
	return p
}

func aboutURL(r *policy.Rule) []Finding {
	p := split(r)
	found := aboutHost(p)
	public := isPublic(p)
	switch {
	case p.scheme == "*" && public:
		found = append(found, Finding{ID: AnyScheme, Text: "also allows plain http, which anyone on the way can read and change", Remedy: "write https://"})
	case (p.scheme == "http" || p.scheme == "ws") && public:
		found = append(found, Finding{ID: PlainHTTP, Text: "sends everything in the clear to a public host", Remedy: "write " + p.scheme + "s:// if the host can do it"})
	}
	if p.segments[0] == "**" {
		found = append(found, Finding{ID: WholeHost, Text: "allows every path of the host", Remedy: "name the beginning of the path, such as /v1/**"})
	}
	return found
}

func aboutEndpoint(r *policy.Rule) []Finding {
	p := split(r)
	found := aboutHost(p)
	if r.Kind == policy.TCP && (p.port == "80" || p.port == "443") {
		found = append(found, Finding{ID: BlindTCP, Text: "lets everything pass unseen on a port of HTTP: neither method nor URL are decided on",
			Remedy: "write http rules, unless the client pins certificates or has one of its own"})
	}
	return found
}

func aboutDNS(r *policy.Rule) []Finding {
	if !strings.Contains(r.Pattern, "*") {
		return nil
	}
	return []Finding{{ID: WideDNS, Text: "lets data out in the names that are asked for", Remedy: "name each record"}}
}

// aboutHost says what is to be said of the host, whatever is spoken with it.
func aboutHost(p parts) []Finding {
	if a, err := netip.ParseAddr(p.host); err == nil {
		switch {
		case a.IsLinkLocalUnicast() || p.host == "fd00:ec2::254":
			return []Finding{metadata()}
		case a.IsLoopback():
			return nil
		}
		return []Finding{{ID: RawAddress, Text: "names an address, which says nothing about whose it is or will be", Remedy: "name the host"}}
	}
	if p.host == "metadata.google.internal" || p.host == "metadata.goog" {
		return []Finding{metadata()}
	}
	if p.wildcard {
		if suffix, icann := publicsuffix.PublicSuffix(p.host); suffix == p.host && (icann || strings.Contains(suffix, ".")) {
			return []Finding{{ID: WideHost, Text: fmt.Sprintf("allows every name below %s, where anyone can register one", p.host), Remedy: "name the host"}}
		}
	}
	if why := policy.Rented(p.host); why != "" && !(strings.HasPrefix(why, "anyone") && namesOwner(p)) {
		return []Finding{{ID: Rented, Text: fmt.Sprintf("leads to %s: %s", p.host, why),
			Remedy: "name your own host there, or as much of the path as names what is yours"}}
	}
	return nil
}

func metadata() Finding {
	return Finding{ID: Metadata, Text: "leads to the cloud's metadata service, which gives out the machine's credentials", Remedy: "remove it, and give the function what it needs as a variable"}
}

// ownerFirst are hosts, with those below them, whose first segment names whose it is.
var ownerFirst = []string{"github.com", "raw.githubusercontent.com", "codeload.github.com", "gitlab.com", "bitbucket.org", "codeberg.org",
	"huggingface.co", "storage.googleapis.com", "s3.amazonaws.com"}

// namesOwner tells whether a rule for a host that many share names one's own corner: as a name below
// what the Public Suffix List has as handing out names, or by the path.
func namesOwner(p parts) bool {
	suffix, icann := publicsuffix.PublicSuffix(p.host)
	if !p.wildcard && !icann && strings.Contains(suffix, ".") && p.host != suffix {
		return true
	}
	literal := slices.IndexFunc(p.segments, func(s string) bool { return s == "" || strings.ContainsAny(s, "*?[") })
	if literal < 0 {
		literal = len(p.segments)
	}
	needed := 2
	if slices.Contains(ownerFirst, p.host) {
		needed = 1
	}
	return !p.wildcard && literal >= needed
}

// isPublic tells whether a host can be one on the open internet.
func isPublic(p parts) bool {
	if a, err := netip.ParseAddr(p.host); err == nil {
		return !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast()
	}
	last := p.host[strings.LastIndexByte(p.host, '.')+1:]
	return last != p.host && !slices.Contains([]string{"internal", "local", "localhost", "test", "lan", "intranet", "corp", "home", "private", "invalid", "example"}, last) &&
		!strings.HasSuffix(p.host, ".home.arpa")
}
