package learn

// Rules that wait in the comments of a learned weir.toml for a person to look at.

import (
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/policy"
)

// secondLook begins the comment above a rule that is a comment itself.
const secondLook = "second look: "

// commented gives, by function, what the rules in comments would allow. Those with a part left out ("…")
// would allow nothing.
func commented(text string) map[string][]*policy.Engine {
	rules := map[string]*[2]policy.Policy{} // tcp rules apart: they may name what http rules name
	function, key, above := "", "", ""
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			function, key = sectionName(line), ""
		}
		if name, _, list := strings.Cut(line, "= ["); list && !strings.HasPrefix(line, "#") {
			key = strings.Trim(strings.TrimSpace(name), `"'`)
		}
		if strings.HasPrefix(above, "# "+secondLook) {
			if rules[function] == nil {
				rules[function] = &[2]policy.Policy{}
			}
			take(rules[function], key, line)
		}
		above = line
	}
	out := map[string][]*policy.Engine{}
	for function, both := range rules {
		for i := range both {
			both[i].Function, both[i].Source = function, "comments"
			if eng, err := policy.Compile(&both[i]); err == nil {
				out[function] = append(out[function], eng)
			}
		}
	}
	return out
}

// take adds the rule that a line holds as a comment under a key, if it is one.
func take(to *[2]policy.Policy, key, line string) {
	if line == "# addons = true" {
		to[0].Addons = true
		return
	}
	quoted, isRule := strings.CutPrefix(strings.TrimSuffix(line, ","), "# ")
	pattern, err := strconv.Unquote(quoted)
	kind, known := kinds[key]
	if !isRule || err != nil || !known {
		return
	}
	if url := strings.TrimPrefix(pattern, "GET "); kind == policy.HTTP && (strings.HasPrefix(url, "wss://") || strings.HasPrefix(url, "ws://")) {
		kind, pattern = policy.WS, url
	}
	rule := policy.Rule{Kind: kind, Pattern: pattern}
	if policy.Check(rule) != nil {
		return
	}
	i := 0
	if kind == policy.TCP {
		i = 1
	}
	to[i].Rules = append(to[i].Rules, rule)
}

// sectionName gives the function of a header "[functions.NAME]", "" if it is none.
func sectionName(line string) string {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	name, ok := strings.CutPrefix(line, "[functions.")
	if !ok || !strings.HasSuffix(name, "]") {
		return ""
	}
	name = strings.TrimSuffix(name, "]")
	return strings.Trim(name, `"'`)
}
