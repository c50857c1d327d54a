// This file exists because a name server carries data in both directions: addresses are answered
// inside, and each other question needs a rule.

package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// dnsTypes are the types that a rule may name, by their number in a message (IANA, "Domain Name
// System (DNS) Parameters"): those that programs ask for. Addresses need no rule; HTTPS and SVCB
// would hand out addresses and keys that hide the name from the egress; ANY and transfers are many
// types in one.
var dnsTypes = map[uint16]string{
	2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 33: "SRV", 35: "NAPTR", 52: "TLSA", 257: "CAA",
}

// dnsOthers are further types that have a name in messages to people.
var dnsOthers = map[uint16]string{1: "A", 28: "AAAA", 64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY"}

// DNSType gives the name of a type by its number, "TYPE99" for those without one (RFC 3597).
func DNSType(n uint16) string {
	if name, ok := dnsTypes[n]; ok {
		return name
	}
	if name, ok := dnsOthers[n]; ok {
		return name
	}
	return "TYPE" + strconv.Itoa(int(n))
}

// IsDNSType tells whether a text is what DNSType may give.
func IsDNSType(s string) bool {
	if digits, ok := strings.CutPrefix(s, "TYPE"); ok {
		_, err := strconv.ParseUint(digits, 10, 16)
		return err == nil
	}
	return isDNSType(s) || slices.Contains(slices.Collect(maps.Values(dnsOthers)), s)
}

// question is the type and canonical name of a DNS question, or the suffix of a wildcard
// (".example.com").
type question struct{ typ, name string }

// dnsRule is a compiled dns rule.
type dnsRule struct {
	rule     int
	question question
}

// dnsRules are the dns rules of a policy, by index in Policy.Rules.
type dnsRules struct {
	byQuestion map[question]int
	byName     map[string]int // the first of each name or suffix
}

func (q *dnsRules) add(r dnsRule) {
	if q.byQuestion == nil {
		q.byQuestion, q.byName = map[question]int{}, map[string]int{}
	}
	setFirst(q.byQuestion, r.question, r.rule)
	setFirst(q.byName, r.question.name, r.rule)
}

func (q *dnsRules) decide(r *Request, d *Decision) {
	if r.Type == "A" || r.Type == "AAAA" {
		d.Allow, d.Reason = true, Allowed // answered inside, with an address that only the egress knows
		return
	}
	suffix := suffixOf(r.Host)
	if i := firstOf(q.byQuestion, question{r.Type, r.Host}, question{r.Type, suffix}); i >= 0 {
		d.Allow, d.Rule, d.Reason = true, i, Allowed
	} else if i := firstOf(q.byName, r.Host, suffix); i >= 0 {
		d.Nearest, d.Reason = i, OtherType
	}
}

// canonicalName is CanonicalHost for names only.
func canonicalName(s string) (string, error) {
	name, err := CanonicalHost(s)
	if err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "", ambiguous("the name is an address")
	}
	return name, nil
}

const dnsRemedy = `write "TYPE NAME", such as "TXT example.com" or "SRV _mongodb._tcp.example.com"`

// parseDNSRule reads "TYPE name", where the name may begin with "*." for one label.
func parseDNSRule(r *Rule) (dnsRule, error) {
	fields, err := splitSpaces(r.Pattern)
	switch {
	case err != nil:
		return dnsRule{}, err
	case strings.Contains(r.Pattern, "/"):
		return dnsRule{}, invalid(dnsRemedy, "a dns rule is a type and a name, not a URL")
	case len(fields) == 1 && strings.Contains(r.Pattern, "."):
		return dnsRule{}, invalid("write the type in front: "+quote("TXT "+fields[0])+"; addresses (A, AAAA) need no rule", "the type is missing")
	case len(fields) != 2:
		return dnsRule{}, invalid(dnsRemedy, "a dns rule is one type and one name")
	}
	if isDNSType(fields[1]) && strings.Contains(fields[0], ".") {
		return dnsRule{}, invalid("write "+quote(fields[1]+" "+fields[0]), "the type stands before the name")
	}
	if err := checkDNSType(fields[0], fields[1]); err != nil {
		return dnsRule{}, err
	}
	rest, wild := strings.CutPrefix(fields[1], "*.")
	switch {
	case strings.Contains(rest, "*"):
		return dnsRule{}, invalid("name it, or write *.example.com for exactly one label", "%q holds a wildcard where none is possible", fields[1])
	case strings.Contains(rest, ":"):
		return dnsRule{}, invalid(dnsRemedy, "%q is not a name: a dns rule has no port", fields[1])
	}
	if a, err := netip.ParseAddr(rest); err == nil && a.Is4() {
		b := a.As4()
		return dnsRule{}, invalid(fmt.Sprintf(`for its name, write "PTR %d.%d.%d.%d.in-addr.arpa"`, b[3], b[2], b[1], b[0]), "%q is an address, not a name", rest)
	}
	name, err := canonicalName(rest)
	switch {
	case err != nil && strings.HasSuffix(rest, "."):
		return dnsRule{}, invalid("write "+quote(fields[0]+" "+strings.TrimRight(fields[1], ".")), "the final dot is left out")
	case err != nil:
		return dnsRule{}, invalid(dnsRemedy, "%q can't be the name of a rule: %v", fields[1], err)
	case wild:
		name = "." + name
	}
	return dnsRule{question: question{fields[0], name}}, nil
}

// isDNSType tells whether a rule may name a type.
func isDNSType(s string) bool {
	return slices.Contains(slices.Collect(maps.Values(dnsTypes)), s)
}

func checkDNSType(typ, name string) error {
	if isDNSType(typ) {
		return nil
	}
	switch upper := strings.ToUpper(typ); upper {
	case "A", "AAAA":
		return invalid("remove it: http, tcp and udp rules say which hosts may be called", "addresses need no dns rule: they are answered inside")
	case "HTTPS", "SVCB":
		return invalid("remove it: clients do well without an answer", "%s can't be allowed: it would hide from Weir who is called", upper)
	case "*", "ANY":
		return invalid("write one rule for each type", "types are exact: %q is none", typ)
	}
	switch {
	case isDNSType(strings.ToUpper(typ)):
		return invalid("write "+quote(strings.ToUpper(typ)+" "+name), "types are written in upper case")
	case strings.ContainsAny(typ, ",|"):
		return invalid("write one rule for each type", "a dns rule is one type and one name")
	}
	known := slices.Sorted(maps.Values(dnsTypes))
	remedy := "the types are " + strings.Join(known, ", ")
	if near := Suggest(typ, known); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near+" "+name)
	}
	return invalid(remedy, "%q is not a type that a rule can name", typ)
}
