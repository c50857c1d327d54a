package tomlpolicy

// What the schema takes as a value is what the parser takes: bounds are written as patterns there, since
// a schema has no others for texts.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/weir-run/weir/internal/policy"
)

// numbers gives a regular expression for the whole numbers from low to high, both more than 0.
func numbers(low, high int64) string {
	var out []string
	for low <= high {
		step, digits := int64(1), 0
		for low%(step*10) == 0 && low+step*10-1 <= high {
			step, digits = step*10, digits+1
		}
		first := low / step
		last := first
		for last%10 != 9 && low+(last+2-first)*step-1 <= high {
			last++
		}
		s := ""
		if first >= 10 {
			s = fmt.Sprint(first / 10)
		}
		if s += fmt.Sprint(first % 10); last > first {
			s = fmt.Sprintf("%s[%d-%d]", s[:len(s)-1], first%10, last%10)
		}
		switch {
		case digits == 1:
			s += "[0-9]"
		case digits > 1:
			s += fmt.Sprintf("[0-9]{%d}", digits)
		}
		out = append(out, s)
		low += (last - first + 1) * step
	}
	return "(" + strings.Join(out, "|") + ")"
}

// sizePattern gives the pattern of sizes within bounds.
func sizePattern(low, high int64) string {
	var out []string
	for _, u := range units {
		if from, to := max(1, (low+u.size-1)/u.size), high/u.size; from <= to {
			out = append(out, "0*"+numbers(from, to)+u.name)
		}
	}
	return "^(" + strings.Join(out, "|") + ")$"
}

// timeoutPattern gives the pattern of timeouts: one whole number of a unit within bounds, or a duration that
// is written otherwise, whose bounds only the parser knows.
func timeoutPattern() string {
	var out []string
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		out = append(out, `\+?0*`+numbers(max(1, int64(minTimeout/u.unit)), int64(maxTimeout/u.unit))+u.name)
	}
	const part = `([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)`
	out = append(out, `\+?[0-9]+(ns|us|µs|μs)`, `\+?([0-9]+\.[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)`, `\+?(`+part+`){2,}`)
	return "^(" + strings.Join(out, "|") + ")$"
}

func TestSchemaPatterns(t *testing.T) {
	s := loadSchema(t)
	limits := s.definition("limits")["properties"].(map[string]any)
	rule := s.definition("httpTable")["properties"].(map[string]any)
	want := map[string]string{"timeout": timeoutPattern()}
	for key, l := range sizes {
		want[key] = sizePattern(l.min, l.max)
	}
	for key, pattern := range want {
		if got := limits[key].(map[string]any)["pattern"]; got != pattern {
			t.Errorf("%s: the pattern is to be %s", key, pattern)
		}
	}
	if got := rule["max_bytes"].(map[string]any)["pattern"]; got != sizePattern(1, maxBytes) {
		t.Errorf("max_bytes: the pattern is to be %s", sizePattern(1, maxBytes))
	}
	if got, want := s.definition("hostPort")["pattern"], `^[^\s/@]+:`+numbers(1, 65535)+`$`; got != want {
		t.Errorf("hostPort: the pattern is to be %s", want)
	}
}

// TestSchemaAndParserAgree: on documents about values, one by one.
func TestSchemaAndParserAgree(t *testing.T) {
	s := loadSchema(t)
	var docs []string
	for _, value := range []string{"concurrency = 1", "concurrency = 0", "concurrency = 2", "concurrency = 1.0", "concurrency = '1'", "keep_warm = 0", "keep_warm = 1", "keep_warm = -1",
		"isolation = 'instance'", "isolation = 'request'", "isolation = 'none'", "runtime = 'nodejs24'", "runtime = 'nodejs18'", "secrets = []", "secrets = ['A']", "secrets = 'A'",
		"packages = {}", "packages.a = {}", "packages.a.http = []", "packages = 1", "mode = 'enforce'", "mode = 'Monitor'", "mode = true", "addons = true", "addons = false", "addons = 1", "addons = 'true'",
		"tcp = ['a.example:1']", "tcp = ['a.example:0']", "tcp = ['a.example:65535']", "tcp = ['a.example:65536']", "tcp = ['a.example']", "tcp = 'a.example:1'", "tcp = [1]", "udp = ['a.example:00514']", "udp = ['a.example:99999']",
		"env = ['A']", "env = ['a-b']", "env = ['1A']", "env = ['']", "env = 'A'", "env = [true]", "exec = ['/bin/x']", "exec = ['x']", "exec = ['/bin/*']", "read = ['/a/**']", "read = ['/a/*']", "read = ['a']", "write = ['/tmp/**']",
		"dns = ['TXT a.example']", "dns = ['A a.example']", "dns = ['TXT']", "dns = ['txt a.example']"} {
		docs = append(docs, "[functions.a]\n"+value)
	}
	for _, rule := range []string{"max_calls = 1", "max_calls = 0", "max_calls = 1_000_000_000", "max_calls = 1_000_000_001", "max_calls = '1'", "max_calls = 1.5", "max_bytes = '1B'", "max_bytes = '0B'", "max_bytes = '1024GB'", "max_bytes = '1025GB'",
		"max_bytes = '01KB'", "max_bytes = '1kB'", "max_bytes = 1", "max_bytes = '1 KB'", "max_bytes = '1.5KB'", "max_calls = 1, per = 'hour'", "query = { a = '*' }", "query = { a = 'x*' }", "query = { a = 1 }",
		"as = 'A', in = 'bearer'", "packages = ['a']"} {
		if strings.HasPrefix(rule, "max_") && !strings.Contains(rule, "per") {
			rule += ", per = 'minute'"
		}
		docs = append(docs, "[functions.a]\nhttp = [{ allow = 'GET https://a.example/', "+rule+" }]")
	}
	limits := []string{"cpu = 0.05", "cpu = 0.04", "cpu = 64", "cpu = 64.1", "cpu = '1'", "processes = 1", "processes = 0", "processes = 4096", "processes = 4097", "files = 64", "files = 63"}
	for key, l := range sizes {
		for _, u := range units {
			for _, n := range []int64{0, l.min/u.size - 1, l.min / u.size, l.min/u.size + 1, l.max/u.size - 1, l.max / u.size, l.max/u.size + 1} {
				limits = append(limits, fmt.Sprintf("%s = '%d%s'", key, max(n, 0), u.name))
			}
		}
	}
	for _, d := range []string{"1ms", "0ms", "0s", "900000ms", "900001ms", "1s", "900s", "901s", "15m", "16m", "1h", "+1s", "-1s", "1", "1m30s", "1.5s", ".5s", "1 s", "s", "", "1d", "010s"} {
		limits = append(limits, fmt.Sprintf("timeout = %q", d))
	}
	for _, l := range append(limits, "timeout = 1", "memory = 64") {
		docs = append(docs, "[functions.a.limits]\n"+l)
	}
	for _, doc := range docs {
		var v map[string]any
		if err := toml.Unmarshal([]byte(doc), &v); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		_, err := Parse("weir.toml", []byte(doc))
		if why := s.validate(s.root, v); (err == nil) != (why == "") {
			t.Errorf("%s: the parser says %v, the schema %q", doc, err, why)
		}
	}
}

// TestReservedVariables: those that no rule may name are told by the schema, too.
func TestReservedVariables(t *testing.T) {
	s := loadSchema(t)
	for _, name := range []string{"PATH", "NODE_OPTIONS", "LD_PRELOAD", "LD_X", "HOME", "A", "PATHS", "NODE_ENV", "TMPDIR"} {
		taken := policy.Check(policy.Rule{Kind: policy.Env, Pattern: name}) == nil
		if why := s.validate(s.definition("variable"), name); taken != (why == "") {
			t.Errorf("%s: the parser takes it: %v, the schema says %q", name, taken, why)
		}
	}
}
