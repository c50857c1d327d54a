package routing

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestSignedRules: of both files, by each of the names that Netlify has had for it.
func TestSignedRules(t *testing.T) {
	rules, warnings := Parse(Sources{Redirects: Text{"_redirects", "/a/* https://a.test/:splat 200 Sign=KEY_A\n/b https://b.test/ 200! signed=KEY_B Country=de\n/plain https://b.test/ 200\n"},
		Config: Text{"netlify.toml", "[[redirects]]\nfrom = \"/c\"\nto = \"https://c.test/\"\nstatus = 200\nsigned = \"KEY_A\"\n[[redirects]]\nfrom = \"/d\"\nto = \"https://d.test/\"\nstatus = 200\nsign = \"$KEY_D\"\n"}})
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	for path, want := range map[string]string{"/a/x": "KEY_A", "/b": "KEY_B", "/plain": "", "/c": "KEY_A", "/d": "KEY_D"} {
		if a, ok := rules.Match(Request{Scheme: "http", Host: "site.test", Path: path, Country: "DE"}); !ok || a.Kind != Proxy || a.Sign != want {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if got := rules.Signs(); !slices.Equal(got, []string{"KEY_A", "KEY_B", "KEY_D"}) {
		t.Errorf("keys of %q", got)
	}
}

// TestRulesWhoseBoundsCanNotBeReadAreNone: without what they ask for they would do more than their author meant.
func TestRulesWhoseBoundsCanNotBeReadAreNone(t *testing.T) {
	for _, more := range []string{
		`signed = ""`, `signed = 3`, `signed = "A KEY"`, `signed = "1KEY"`,
		`rate_limit = 3`, `rate_limit = {}`, `rate_limit = {window_limit = 0, window_size = 60}`, `rate_limit = {window_limit = 5, window_size = 1000}`,
		`rate_limit = {window_limit = 5}`, `rate_limit = {window_limit = "5", window_size = 60}`, `rate_limit = {window_limit = 5, window_size = 60, algorithm = "token"}`,
		`rate_limit = {window_limit = 5, window_size = 60, aggregate_by = ["cookie"]}`, `rate_limit = {window_limit = 5, window_size = 60, aggregate_by = [3]}`,
		`rate_limit = {window_limit = 5, window_size = 60, action = "rewrite"}`, `rate_limit = {window_limit = 5, window_size = 60, to = "//evil.test"}`,
		`rate_limit = {window_limit = 5, window_size = 60, windows = 1}`, `rate_limit = {window_limit = 9223372036854775807, window_size = 60}`,
	} {
		rules, warnings := Parse(Sources{Config: Text{"netlify.toml", "[[redirects]]\nfrom = \"/a\"\nto = \"https://a.test/\"\nstatus = 200\n" + more + "\n"}})
		if !rules.Empty() || len(warnings) != 1 || !strings.Contains(warnings[0], "the rule is left out") {
			t.Errorf("%s: %q", more, warnings)
		}
	}
}

// TestWhatIsNotThereIsTold: rules are applied without it.
func TestWhatIsNotThereIsTold(t *testing.T) {
	rules, warnings := Parse(Sources{Config: Text{"netlify.toml", "[[redirects]]\nfrom = \"/a\"\nto = \"/b\"\nedge_handler = \"h\"\n[[edge_functions]]\npath = \"/e\"\nfunction = \"e\"\n[images]\nremote_images = []\n"}})
	if len(warnings) != 3 || !strings.HasPrefix(warnings[0], "netlify.toml:1: ") || !strings.HasPrefix(warnings[1], "netlify.toml:5: ") || !strings.HasPrefix(warnings[2], "netlify.toml:8: ") || rules.Empty() {
		t.Errorf("%q", warnings)
	}
	if _, warnings := Parse(Sources{Config: Text{"netlify.toml", "edge_functions = []\n"}}); len(warnings) != 0 {
		t.Errorf("%q", warnings)
	}
}

func TestRateLimitsOfRules(t *testing.T) {
	var text strings.Builder
	for i := range MaxRateLimits + 2 {
		fmt.Fprintf(&text, "[[redirects]]\nfrom = \"/r%d\"\nto = \"/x\"\n[redirects.rate_limit]\naction = \"rate_limit\"\nwindow_limit = %d\nwindow_size = 60\naggregate_by = [\"ip\", \"domain\"]\n", i, i+1)
	}
	rules, warnings := Parse(Sources{Config: Text{"netlify.toml", text.String()}})
	if len(warnings) != 1 || len(rules.RateLimits()) != MaxRateLimits {
		t.Errorf("%d limits, %q", len(rules.RateLimits()), warnings)
	}
	a, _ := rules.Match(Request{Scheme: "http", Host: "site.test", Path: "/r4"})
	if l := a.RateLimit; l == nil || l.Limit != 5 || l.Window != 60 || !slices.Equal(l.By, []string{"ip", "domain"}) || !slices.Contains(rules.RateLimits(), l) {
		t.Errorf("%+v", l)
	}
	if _, ok := rules.Match(Request{Scheme: "http", Host: "site.test", Path: fmt.Sprintf("/r%d", MaxRateLimits)}); ok {
		t.Error("a rule beyond is applied without its limit")
	}
	var none *Rules
	if len(none.RateLimits()) != 0 || len(none.Signs()) != 0 {
		t.Error("no rules have some")
	}
}
