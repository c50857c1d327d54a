package tomlpolicy

// Every example of docs/policy.md is tried.

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
)

const docs = "../../../docs/policy.md"

// example is a policy on the page, and what the page says of it.
type example struct {
	line   int
	toml   string
	claims []claim
}

// claim is "allowed REQUEST by FUNCTION — REASON", or refused, monitored, limit, error or says.
type claim struct {
	line                         int
	verb, text, function, reason string
}

var claimLine = regexp.MustCompile(`^(allowed|refused|monitored|limit|error|says) {2,}(.+)$`)

// examples reads the indented lines of the page: rules, and below them claims about these.
func examples(t *testing.T) (all []*example) {
	t.Helper()
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	x := &example{}
	intrinsic := false
	for i, line := range strings.Split(string(page), "\n") {
		if strings.HasPrefix(line, "## ") {
			intrinsic = line == "## Intrinsic's API" // its examples are not TOML
		}
		code, indented := strings.CutPrefix(line, "    ")
		m := claimLine.FindStringSubmatch(code)
		last := len(x.claims) - 1
		switch {
		case intrinsic, line == "":
		case !indented:
			x = &example{} // prose ends an example
		case m != nil:
			x.claims = append(x.claims, newClaim(i+1, m[1], m[2]))
		case last >= 0 && strings.HasPrefix(code, "         "): // a claim goes on
			x.claims[last].text += " " + strings.TrimSpace(code)
		default:
			if x.toml == "" || last >= 0 {
				x = &example{line: i + 1}
				all = append(all, x)
			}
			x.toml += code + "\n"
		}
	}
	return all
}

func newClaim(line int, verb, text string) claim {
	c := claim{line: line, verb: verb, text: text, function: "charge"}
	if verb != "error" && verb != "says" {
		c.text, c.reason, _ = strings.Cut(c.text, " — ")
		if request, function, ok := strings.Cut(c.text, "  by "); ok {
			c.text, c.function = request, strings.TrimSpace(function)
		}
		c.text = strings.TrimSpace(c.text)
	}
	return c
}

func TestDocs(t *testing.T) {
	all := examples(t)
	claims := 0
	for _, x := range all {
		t.Run(fmt.Sprintf("line %d", x.line), func(t *testing.T) { x.try(t) })
		claims += len(x.claims)
	}
	if len(all) < 25 || claims < 120 {
		t.Errorf("only %d examples with %d claims were found", len(all), claims)
	}
}

func (x *example) try(t *testing.T) {
	src := x.toml
	if !strings.Contains(src, "[functions") {
		src = "[functions.charge]\n" + src
	}
	var wrong []string
	for _, c := range x.claims {
		if c.verb == "error" {
			wrong = append(wrong, c.text)
		}
	}
	f, err := Parse("weir.toml", []byte(src))
	if err == nil {
		_, err = engine(f, "charge")
	}
	if got := fmt.Sprint(err); wrong != nil && got != strings.Join(wrong, "\n") {
		t.Fatalf("got the error %v", err)
	}
	if wrong != nil {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range x.claims {
		e, err := engine(f, c.function)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.verdict(t, e); got != c.verb {
			t.Errorf("line %d: %s %s", c.line, c.text, got)
		}
	}
}

func engine(f *File, function string) (*policy.Engine, error) {
	p, err := f.For(function)
	if err != nil {
		return nil, err
	}
	return policy.Compile(p)
}

// verdict gives the verb that is true.
func (c *claim) verdict(t *testing.T, e *policy.Engine) string {
	t.Helper()
	if c.verb == "limit" {
		return c.limit(e)
	}
	text := c.text
	if c.verb == "says" {
		text, _, _ = strings.Cut(text, " is ")
	}
	r, err := parseRequest(text)
	if err != nil {
		if !strings.Contains(err.Error(), c.reason) {
			return fmt.Sprintf("is refused, since %v", err)
		}
		return "refused"
	}
	d := e.Decide(&r)
	why := e.Explain(&r, d)
	reason := why.Reason
	if d.Allow && d.Rule >= 0 {
		if b := e.Policy().Rules[d.Rule].Budget; b != nil {
			reason = "at most " + b.String()
		}
	}
	switch {
	case c.verb == "says" && why.String() == c.text:
		return "says"
	case !strings.Contains(reason, c.reason):
		return "is decided on because: " + reason
	case d.Allow:
		return "allowed"
	case e.Policy().Mode == policy.Monitor:
		return "monitored"
	}
	return "refused"
}

func (c *claim) limit(e *policy.Engine) string {
	key, value, _ := strings.Cut(c.text, " ")
	l := e.Policy().Limits
	if got := map[string]string{"timeout": l.Timeout.String(), "memory": policy.Size(l.Memory)}[key]; got != strings.TrimSpace(value) {
		return "is " + got
	}
	return "limit"
}

// parseRequest reads "METHOD URL", "tcp HOST:PORT", "udp HOST:PORT", "dns TYPE NAME" or "read PATH" and so on.
func parseRequest(s string) (policy.Request, error) {
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "tcp", "udp":
		host, portText, _ := strings.Cut(rest, ":")
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil {
			return policy.Request{}, err
		}
		return map[string]func(string, uint16) (policy.Request, error){"tcp": policy.NewTCP, "udp": policy.NewUDP}[word](host, uint16(port))
	case "dns":
		typ, name, _ := strings.Cut(rest, " ")
		return policy.NewDNS(typ, name)
	case "env":
		return policy.Request{Kind: policy.Env, Path: rest}, nil
	case "read", "write", "exec", "addon":
		kind := map[string]policy.Kind{"read": policy.Read, "write": policy.Write, "exec": policy.Exec, "addon": policy.Addon}[word]
		return policy.NewFile(kind, rest)
	}
	scheme, after, _ := strings.Cut(rest, "://")
	authority, path, _ := strings.Cut(after, "/")
	if scheme == "ws" || scheme == "wss" {
		return policy.NewWS(scheme, authority, "/"+path)
	}
	return policy.NewHTTP(word, scheme, authority, "/"+path)
}

// The page's list of types is the parser's.
func TestDocsTypes(t *testing.T) {
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for n := range uint16(300) {
		if typ := policy.DNSType(n); policy.Check(policy.Rule{Kind: policy.DNS, Pattern: typ + " example.com"}) == nil {
			known = append(known, typ)
		}
	}
	slices.Sort(known)
	last := len(known) - 1
	list := strings.Join(known[:last], ", ") + " or " + known[last]
	if !strings.Contains(strings.Join(strings.Fields(string(page)), " "), list) {
		t.Errorf("the page does not say that the types are %s", list)
	}
}
