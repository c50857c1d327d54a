package routing

// The file _redirects, a rule on each line (docs.netlify.com, "Redirects and rewrites"; @netlify/redirect-parser):
//
//	from [name=value ...] [to] [status[!]] [Condition=value ...]

import (
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// entry is a rule as it was written.
type entry struct {
	from, to   string
	query      []pair
	status     int // 0: not given
	force      bool
	conditions []pair
	sign       string // the variable that holds the key which a proxy's requests are signed with; "" for none
	rateLimit  *weir.RateLimit
	headers    []pair // what a proxy's upstream is sent besides
}

type pair struct{ name, value string }

func (p *parser) redirectsFile(t Text) {
	for pos, line := range p.lines(t) {
		e, f := redirectLine(line)
		p.add(pos, e, f, strings.Contains(strings.ToLower(line), "role="))
	}
}

func redirectLine(line string) (entry, *fault) {
	parts := strings.Fields(line)
	for i, part := range parts {
		if part[0] == '#' {
			parts = parts[:i]
			break
		}
	}
	if len(parts) < 2 {
		return entry{}, faulty("write: FROM TO STATUS", "%q has no target", line)
	}
	e := entry{from: parts[0]}
	parts = parts[1:]
	if !isStatus(parts[0]) { // else the target is left out, as in: /api/* 200
		to := 0
		for to < len(parts) && !strings.HasPrefix(parts[to], "/") && !isURL(parts[to]) {
			name, value, ok := strings.Cut(parts[to], "=")
			if !ok {
				return e, faulty("a target begins with /, http:// or https://; a query parameter is NAME=VALUE", "%q is neither a target nor a query parameter", parts[to])
			}
			e.query = append(e.query, pair{name, value})
			to++
		}
		if to == len(parts) {
			return e, faulty("a target begins with /, http:// or https://", "%q has no target", line)
		}
		e.to, parts = parts[to], parts[to+1:]
	}
	if len(parts) == 0 {
		return e, nil
	}
	if !isStatus(parts[0]) {
		return e, faulty("after the target comes the status, as in 301, 200 or 200!, and then conditions", "%q is no status", parts[0])
	}
	e.status, _ = strconv.Atoi(strings.TrimSuffix(parts[0], "!"))
	e.force = strings.HasSuffix(parts[0], "!")
	for _, c := range parts[1:] {
		name, value, ok := strings.Cut(c, "=")
		switch {
		case !ok:
			return e, faulty("a condition is NAME=VALUE, as in Country=us,ca", "%q is no condition", c)
		case name == "Sign" || name == "signed":
			e.sign = value
			if value == "" {
				return e, faulty("name the variable with the key, as in Sign=API_KEY", "%s has no value", name)
			}
		default:
			e.conditions = append(e.conditions, pair{name, value})
		}
	}
	return e, nil
}

// isStatus tells whether a word is three digits, perhaps with a ! behind them.
func isStatus(s string) bool {
	s = strings.TrimSuffix(s, "!")
	return len(s) == 3 && strings.Trim(s, "0123456789") == ""
}

func isURL(s string) bool { return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") }
