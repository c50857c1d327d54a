package server

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/jobs"
	"github.com/weir-run/weir/internal/logs"
)

// TestWhatIsThrownIsInTheLogs: who wrote a function sees in its logs with which stack it failed, whoever called it and
// whenever it threw; values of variables are not told.
func TestWhatIsThrownIsInTheLogs(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	site := p.site("shop")
	const secret = "a-secret-that-is-long"
	for key, value := range map[string]string{"KEY": secret, "OPEN": "read-by-developers"} {
		v := environ.Variable{Site: site.ID, Key: key, Secret: key == "KEY", Values: []environ.Value{{Context: environ.All, Value: value}}}
		if err := p.variables.Set(t.Context(), environ.Author{Name: "owner"}, v); err != nil {
			t.Fatal(err)
		}
	}
	d := p.deploy(site, owner, content{files: map[string]string{"_weir.toml": "[functions.\"*\"]\nenv = [\"KEY\", \"OPEN\"]\n"}, functions: map[string]string{
		"throws": "const helper = () => { throw new RangeError('too far: ' + process.env.KEY + process.env.OPEN); };\nexports.handler = async () => helper();\n",
		"midst":  "exports.handler = awslambda.streamifyResponse(async (event, out) => { out.write('begun'); throw new RangeError('too late'); });\n",
		"broken": "throw new RangeError('too early');\n",
	}}, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	for _, name := range []string{"throws", "midst", "broken"} {
		p.get("shop.localhost", "/.netlify/functions/"+name)
	}
	if _, err := (runner{p.Server}).Run(t.Context(), jobs.Job{ID: "1", Site: site.ID, Deploy: d.ID, Function: "throws", Event: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	p.logs.Flush(t.Context())
	for _, want := range []struct {
		function string
		lines    map[string]int
	}{
		{"throws", map[string]int{"RangeError: too far: [KEY][OPEN]": 2, "at helper (": 2, secret: 0}},
		{"midst", map[string]int{"RangeError: too late": 1}},
		{"broken", map[string]int{"RangeError: too early": 1}},
	} {
		lines, err := p.logs.Past(t.Context(), logs.Query{Site: site.ID, Function: want.function})
		if err != nil {
			t.Fatal(err)
		}
		for text, n := range want.lines {
			for _, l := range lines {
				if l.Stream == "stderr" && l.Request != "" && strings.Contains(l.Text, text) {
					n--
				}
			}
			if n != 0 {
				t.Errorf("%s: %q, %d too few: %v", want.function, text, n, lines)
			}
		}
	}
}
