package deploys

// Names become labels of host names, so each has one spelling, and no two of them can make the same host.

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"net/netip"
	"regexp"
	"strings"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

const (
	maxLabel    = 63                             // bytes of a label of a host name (RFC 1035, section 2.3.4)
	separator   = "--"                           // between a deploy's id or an alias and the site's name, in one label
	maxSiteName = maxLabel - 24 - len(separator) // so that ID--NAME is a label
	maxDomains  = 100
)

var isLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// checkSiteName refuses what is no label, and "--", which ends an alias: a--b would be b's alias a.
func checkSiteName(name string) error {
	if !isLabel.MatchString(name) || len(name) > maxSiteName || strings.Contains(name, separator) {
		return &weir.Error{Code: weir.Invalid, Message: quote(name) + " can't be a site's name",
			Remedy: fmt.Sprintf("use up to %d letters from a to z, digits and single hyphens between them", maxSiteName)}
	}
	return nil
}

var notOfALabel = regexp.MustCompile(`[^a-z0-9]+`)

// aliasOf gives the label for the name of an alias (often a branch's): feature/X is feature-x.
func aliasOf(text, siteName string) (string, error) {
	if text == "" {
		return "", nil
	}
	alias := strings.Trim(notOfALabel.ReplaceAllString(strings.ToLower(weir.Cut(text, 1000)), "-"), "-")
	if most := maxLabel - len(separator) - len(siteName); len(alias) > most {
		return "", &weir.Error{Code: weir.Invalid, Message: "the alias " + quote(text) + " is too long for a host name",
			Remedy: fmt.Sprintf("use up to %d letters and digits", most)}
	}
	// xn--NAME would be read as another name in Unicode, and ID--NAME is a deploy's.
	if alias == "" || alias == "xn" || isDeployID.MatchString(alias) {
		return "", &weir.Error{Code: weir.Invalid, Message: quote(text) + " can't be an alias", Remedy: "use letters and digits, as in staging or pr-12"}
	}
	return alias, nil
}

// canonicalDomains gives the one spelling of host names that a site may answer to.
func canonicalDomains(domains []string, own string) ([]string, error) {
	if len(domains) > maxDomains {
		return nil, &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("a site has at most %d domains", maxDomains)}
	}
	var out []string
	seen := map[string]bool{}
	for _, d := range domains {
		host, err := policy.CanonicalHost(d)
		if err != nil {
			return nil, &weir.Error{Code: weir.Invalid, Message: quote(d) + " can't be a domain", Err: err, Remedy: "write it as in DNS, like www.example.com"}
		}
		_, notAddress := netip.ParseAddr(host)
		if notAddress == nil || !strings.Contains(host, ".") {
			return nil, &weir.Error{Code: weir.Invalid, Message: quote(d) + " can't be a domain", Remedy: "use a name with a dot, like www.example.com"}
		}
		if own != "" && (host == own || strings.HasSuffix(host, "."+own)) {
			return nil, &weir.Error{Code: weir.Invalid, Message: quote(d) + " lies in " + own + ", where sites have their own names", Remedy: "rename the site instead"}
		}
		if !seen[host] {
			out = append(out, host)
		}
		seen[host] = true
	}
	return out, nil
}

var (
	adjectives = strings.Fields("amber ample bold brave bright brisk calm clear clever cosy crisp deft early eager fair fine fleet fond free fresh gentle glad golden grand green happy honest jolly keen kind light lively lucky mellow merry mild neat nimble noble plain proud quick quiet ready rosy silver smooth snug solid spry steady still sunny swift tidy tranquil true warm wise witty young")
	nouns      = strings.Fields("alder aspen badger beaver birch bream brook cedar cove crane creek curlew dale delta dipper dove eddy egret elm falcon fen fern finch ford glade grebe grove harbor hazel heron inlet island kestrel lagoon lake larch lark linden lynx maple marsh marten meadow mill oak osprey otter perch pike pine plover pond pool rapid reed ripple river robin rowan sedge shoal siskin spring stream swan swift teal thrush tide trout vale wagtail willow wren")
)

// newSiteName gives a name like quiet-heron-4821.
func newSiteName() string {
	return adjectives[random(len(adjectives))] + "-" + nouns[random(len(nouns))] + fmt.Sprintf("-%04d", random(10_000))
}

func random(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return int(i.Int64())
}

// newUUID gives a random UUID (RFC 9562, section 5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newDeployID gives the milliseconds since 1970 in 12 hexadecimal digits, and 12 random ones. Of one server, a later
// one is always higher, and it is higher than those that it is to follow, even if they were made by a clock that was
// ahead.
func (s *Service) newDeployID(follows ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := max(s.last+1, s.now().UnixMilli())
	for _, id := range follows {
		if isDeployID.MatchString(id) {
			at = max(at, begun(id).UnixMilli()+1)
		}
	}
	s.last = max(s.last+1, s.now().UnixMilli())
	return fmt.Sprintf("%012x", at) + randomHex(6)
}
