// This file exists because a denial is read by people, in logs and in the function's own error: one
// line, with the smallest change that would allow what was tried, and nothing hostile in it.

package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// Longest texts in an Explanation, in bytes: what was tried is cut, a longer fix is left out.
const (
	maxTried = 400
	maxFix   = 1000
)

// Explanation is the text of a decision. Every field is one line of printable ASCII, without the
// query of a URL, which may hold secrets.
type Explanation struct {
	Tried   string // what was tried: "POST https://api.example.com/v1/items"
	Reason  string // why it was denied; "allowed" if it was not
	Nearest string // the rule that came nearest, or that allowed it, as written; "" if none
	Rule    string // FILE:LINE of that rule
	Fix     string // the smallest line that would allow it; "" if no rule can
	Place   string // where Fix belongs: "[functions.charge] in weir.toml"
}

// String gives all of it in one line.
func (x Explanation) String() string {
	if x.Reason == reasons[Allowed] {
		return x.Tried + " is allowed by " + x.Nearest + at(x.Rule)
	}
	s := x.Tried + " is not allowed: " + x.Reason
	if x.Nearest != "" {
		s += "; the nearest rule is " + x.Nearest + at(x.Rule)
	}
	if x.Fix != "" {
		s += "; to allow it, add to " + x.Place + ": " + x.Fix
	}
	return s
}

func at(pos string) string {
	if pos == "" {
		return ""
	}
	return " (" + pos + ")"
}

var reasons = [...]string{
	Allowed:     "allowed",
	NoPolicy:    "the function has no policy, so it may do nothing",
	NoRule:      "no rule names it",
	OtherScheme: "no rule for this host has this scheme",
	OtherPort:   "no rule for this host has this port",
	OtherPath:   "no rule has this path",
	OtherMethod: "no rule for this URL has this method",
	OtherQuery:  "no rule for this URL allows this query",
	OtherType:   "no rule for this name has this type of question",
	OverBudget:  "the budget of its rule is used up",
	OutOfBounds: "it is out of bounds",
}

// String gives the beginning of the text that Explain gives to the reason.
func (r Reason) String() string { return reasons[r] }

// Explain gives the text of a decision that this engine made about r.
func (e *Engine) Explain(r *Request, d Decision) Explanation {
	x := Explanation{Tried: tried(r), Reason: reasons[d.Reason], Place: e.place()}
	switch {
	case d.Reason == NoRule && (r.Kind == HTTP || r.Kind == WS):
		x.Reason = "no rule names the host " + clip(r.URL.Host)
	case d.Reason == NoRule && r.Kind == Exec && !strings.HasPrefix(r.Path, "/"):
		x.Reason = "programs are allowed by their absolute path, and no rule names one of this name"
	case d.Reason == NoRule && r.Kind == Addon:
		x.Reason = "native libraries are not allowed"
	}
	rule := d.Nearest
	if d.Allow {
		rule = d.Rule
	}
	if rule >= 0 {
		near := &e.policy.Rules[rule]
		if d.Reason == OverBudget && d.Bound == 0 && near.Budget != nil {
			x.Reason += " (" + near.Budget.String() + ")"
		}
		x.Nearest = quote(near.Pattern)
		x.Rule = clip(weir.Position{File: near.Pos.File, Line: near.Pos.Line}.String())
	} else if d.Allow {
		x.Nearest = "the sandbox itself"
		if r.Kind == Addon {
			x.Nearest = "addons = true"
		}
	}
	if !d.Allow && d.Reason != OverBudget && d.Bound == 0 {
		x.Fix = e.fix(r)
	}
	kind := r.Kind
	if kind == WS {
		kind = HTTP
	}
	if s := e.policy.Sections[kind]; s != "" {
		x.Place = "[functions." + quote(s) + "] in weir.toml, which other functions may share"
	}
	if d.Bound > 0 {
		b := &e.bounds[d.Bound-1]
		x.Reason += b.says(r, d)
		x.Place += ", if " + b.Name + " allows it"
	}
	return x
}

// says gives what a bound adds to the reason of a denial. No line in a site's own policy could help.
func (b *Bound) says(r *Request, d Decision) string {
	switch d.Reason {
	case OutOfBounds:
		return ": " + b.Name + " does not allow it; " + b.Remedy
	case OverBudget:
		text := ": that of " + b.Name
		for _, c := range b.Engine.charge(nil, 0, b.Engine.decide(r)) {
			text += " (" + c.Budget.String() + ")"
		}
		return text
	}
	return ", and " + b.Name + " does not allow it either; " + b.Remedy
}

// place says where a new rule belongs.
func (e *Engine) place() string {
	switch {
	case e.policy.Intrinsic:
		return clip(e.policy.Source)
	case e.policy.Function == "":
		return "the function's section of weir.toml"
	case strings.ContainsFunc(e.policy.Function, func(c rune) bool { return c > 'z' || !isAlnum(byte(c)) && c != '-' && c != '_' }):
		return "[functions." + quote(e.policy.Function) + "] in weir.toml"
	}
	return "[functions." + e.policy.Function + "] in weir.toml"
}

// tried says what was tried.
func tried(r *Request) string {
	switch r.Kind {
	case HTTP:
		return clip(r.Method + " " + plain(r.URL))
	case WS:
		return clip(plain(r.URL))
	case TCP, UDP:
		return clip(r.Kind.String() + "://" + r.hostPort())
	case DNS:
		return clip("DNS " + r.Type + " " + r.Host)
	case Env:
		return clip("variable " + r.Path)
	}
	return clip([...]string{Read: "reading", Write: "writing", Exec: "starting", Addon: "loading"}[r.Kind] + " " + r.Path)
}

func (r *Request) hostPort() string {
	return bracketed(r.Host) + ":" + strconv.Itoa(int(r.Port))
}

// plain gives a URL without its query.
func plain(u URL) string {
	u.Query = ""
	return u.String()
}

// clip makes text fit for a log: one line, printable ASCII, not longer than maxTried.
func clip(s string) string {
	cut := ""
	if len(s) > maxTried {
		s, cut = s[:maxTried], "..."
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return strconv.QuoteToASCII(s) + cut
		}
	}
	return s + cut
}

// quote puts a text from a file in double quotes, one line, printable ASCII.
func quote(s string) string {
	if len(s) > maxTried {
		return strconv.QuoteToASCII(s[:maxTried]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// fix gives the smallest line that would allow r. A request whose text would mean more as a rule (a
// "*" in its path) gets none: nobody should paste what a hostile function chose.
func (e *Engine) fix(r *Request) string {
	line := ""
	if e.policy.Intrinsic {
		line = intrinsicFix(r)
	} else {
		line = tomlFix(r)
	}
	if len(line) > maxFix || clip(line) != line && len(line) <= maxTried {
		return ""
	}
	return line
}

func tomlFix(r *Request) string {
	key, pattern := "", ""
	switch r.Kind {
	case HTTP:
		key, pattern = "http", r.Method+" "+plain(r.URL)
	case WS:
		key, pattern = "http", "GET "+plain(r.URL)
	case TCP, UDP:
		key, pattern = r.Kind.String(), r.hostPort()
	case DNS:
		key, pattern = "dns", r.Type+" "+r.Host
	case Read:
		key, pattern = "read", r.Path
	case Write:
		key, pattern = "write", writable(r.Path)
	case Exec:
		key, pattern = "exec", r.Path
		if !strings.HasPrefix(pattern, "/") {
			pattern = "/usr/bin/" + pattern
		}
	case Env:
		key, pattern = "env", r.Path
	case Addon:
		return "addons = true"
	}
	if !exactly(r, pattern) {
		return ""
	}
	return fmt.Sprintf("%s = [%s]", key, quote(pattern))
}

func intrinsicFix(r *Request) string {
	call, pattern := "", ""
	switch r.Kind {
	case HTTP:
		method := r.Method[:1] + strings.ToLower(r.Method[1:])
		switch method {
		case "Get", "Post", "Put", "Delete", "Patch", "Head", "Options", "Trace":
		default:
			return ""
		}
		call, pattern = "outboundHttp.allow"+method, r.Method+" "+plain(r.URL)
	case WS:
		call, pattern = "outboundHttp.allowGet", "GET "+plain(r.URL)
	case TCP:
		return fmt.Sprintf("policy.outboundNet.allowTcp(%s, %d)", jsString(r.Host), r.Port)
	case UDP:
		if exactly(r, r.hostPort()) {
			return fmt.Sprintf("policy.outboundNet.allowUdp(%s, %d)", jsString(r.Host), r.Port)
		}
	case Read:
		call, pattern = "fs.allowRead", r.Path
	case Write:
		call, pattern = "fs.allowWrite", writable(r.Path)
	case Exec:
		call, pattern = "childProcess.allowSpawningPath", r.Path
	}
	if call == "" || !exactly(r, pattern) {
		return ""
	}
	if _, url, ok := strings.Cut(pattern, " "); ok && r.Kind <= WS {
		pattern = url
	}
	return "policy." + call + "(" + jsString(pattern) + ")"
}

// writable gives the pattern that allows writing a path: /tmp is opened as a whole.
func writable(p string) string {
	if below(p, tmpDir) {
		return tmpDir + "/**"
	}
	return p
}

// exactly tells whether pattern is a valid rule of its kind without a wildcard that r brought along.
func exactly(r *Request, pattern string) bool {
	if r.Kind == WS {
		pattern = strings.TrimPrefix(pattern, "GET ")
	}
	if strings.Contains(pattern, "*") && pattern != tmpDir+"/**" {
		return false
	}
	return Check(Rule{Kind: r.Kind, Pattern: pattern}) == nil
}

func jsString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
