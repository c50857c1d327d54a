package record

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestRedactorTakesValuesOut(t *testing.T) {
	m := &Memory{}
	r := NewRedactor(m)
	r.SetValues(map[string]string{"KEY": "sk_live_1234", "LONG": "sk_live_1234_more", "MIX": "AbCdEfGhIj", "LEVEL": "debug",
		"API": "https://api.test/v1", "DB": "postgres://u:pw@db.test/shop",
		"HOST": "cache.shop.test:6379", "DOTTED": "ab.c1d2e3f4g5h6i7j8k9l0m1n2o3.key"})
	for text, want := range map[string]string{
		"https://evil.test/sk_live_1234/sk_live_1234_more/debug": "https://evil.test/[KEY]/[LONG]/debug",
		"http://abcdefghij.evil.test/":                           "http://[MIX].evil.test/",
		"http://evil.test/%73%6b%5f%6C%69ve_1234/x":              "http://evil.test/[KEY]/x",
		"http://evil.test/aaaa/sk_live_12...":                    "http://evil.test/aaaa/[KEY]...",
		"http://evil.test/aaaa/sk_live_123…":                     "http://evil.test/aaaa/[KEY]…",
		"http://evil.test/aaaa/sk_live_1":                        "http://evil.test/aaaa/[KEY]",
		"http://evil.test/aaaa/sk_li":                            "http://evil.test/aaaa/sk_li",
		"https://api.test/v1/x":                                  "https://api.test/v1/x",
		"x postgres://u:pw@db.test/shop":                         "x [DB]",
		"cache.shop.test:6379":                                   "cache.shop.test:6379",
		"https://ab.c1d2e3f4g5h6i7j8k9l0m1n2o3.key.evil.test/":   "https://[DOTTED].evil.test/",
		"nothing of it":                                          "nothing of it",
		"%":                                                      "%",
		"sk_live_1299":                                           "sk_live_1299",
	} {
		r.Decided(Decision{Target: text, Fix: text})
		got := m.Denials()[len(m.Denials())-1]
		// Where a cut leaves it open which value it was, either name will do.
		if got.Target != want && got.Target != "http://evil.test/aaaa/[LONG]..." && got.Target != "http://evil.test/aaaa/[LONG]…" {
			t.Errorf("%s became %s, want %s", text, got.Target, want)
		}
		if got.Fix != got.Target {
			t.Errorf("the fix became %s", got.Fix)
		}
	}
	r.Decided(Decision{Verdict: Allow, Target: "https://api.test/bot/sk_live_1234/send", Nearest: "GET https://api.test/bot/SK_LIVE_1234/*"})
	if got := m.Decisions()[len(m.Decisions())-1]; got.Target != "https://api.test/bot/[KEY]/send" || got.Nearest != "GET https://api.test/bot/[KEY]/*" {
		t.Errorf("what is allowed holds the secret: %+v", got)
	}
	r.Invoked(Invocation{Error: "no sk_live_1234"})
	if got := m.Invocations()[0].Error; got != "no [KEY]" {
		t.Errorf("error %s", got)
	}
}

// TestRedactorKnowsFormerValues: an instance that still runs has the values of its build.
func TestRedactorKnowsFormerValues(t *testing.T) {
	m := &Memory{}
	r := NewRedactor(m)
	r.SetValues(map[string]string{"KEY": "first-of-them", "GONE": "removed-later"})
	r.SetValues(map[string]string{"KEY": "second-of-them"})
	r.SetValues(map[string]string{"KEY": "third-of-them"})
	r.Decided(Decision{Target: "/first-of-them/second-of-them/third-of-them/removed-later"})
	if got := m.Decisions()[0].Target; got != "/[KEY]/[KEY]/[KEY]/[GONE]" {
		t.Error(got)
	}
}

// TestEveryTextIsRedactedAndBounded goes through the schema: a text field that is added must be cleaned
// and cut, or be one that Weir alone fills in.
func TestEveryTextIsRedactedAndBounded(t *testing.T) {
	ofWeir := map[string]bool{"Verdict": true, "Mode": true, "Kind": true, "Source": true, "Confirmed": true, "Outcome": true, "Start": true, // words of the schema
		"Instance": true, "Request": true, "Site": true, "Deploy": true, // ids that Weir makes
		"Function": true, "Named": true} // names that are no values
	m := &Memory{}
	r := NewRedactor(m)
	r.SetValues(map[string]string{"KEY": "sk_live_1234"})
	agg := newAggregator(m.Decided)
	defer agg.close()
	long := strings.Repeat("x", 2*maxText)
	check := func(record any, bounded bool) {
		v := reflect.ValueOf(record)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if v.Field(i).Kind() != reflect.String || ofWeir[name] {
				continue
			}
			if s := v.Field(i).String(); bounded && len(s) > maxText+len("…") || !bounded && s != "a [KEY]" {
				t.Errorf("%T.%s is %.40q", record, name, s)
			}
		}
	}
	filled := func(record any, text string) {
		v := reflect.ValueOf(record).Elem()
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.String && !ofWeir[v.Type().Field(i).Name] {
				v.Field(i).SetString(text)
			}
		}
	}
	var d Decision
	filled(&d, "a sk_live_1234")
	r.Decided(d)
	check(m.Decisions()[0], false)
	filled(&d, long)
	agg.add(d)
	check(m.Decisions()[1], true)
	var i Invocation
	filled(&i, "a sk_live_1234")
	r.Invoked(i)
	check(m.Invocations()[0], false)
	filled(&i, long)
	if line := appendInvocation(nil, i); len(line) > 2*maxText {
		t.Errorf("an invocation of %d bytes", len(line))
	}
}

// TestRedactorKnowsWhatIsEncoded: a password in a URL is percent-encoded where it is set, and printed so or plain.
func TestRedactorKnowsWhatIsEncoded(t *testing.T) {
	r := NewRedactor(&Memory{})
	r.SetValues(map[string]string{"DB": "postgres://u:p%40ss%2Fw@db.test/shop", "HALF": "100%_of_them"})
	for _, text := range []string{"postgres://u:p%40ss%2Fw@db.test/shop", "postgres://u:p@ss/w@db.test/shop", "postgres%3A//u%3Ap%2540ss%252Fw%40db.test/shop"} {
		if got := r.Text("at " + text + " it ends"); got != "at [DB] it ends" {
			t.Errorf("%s became %s", text, got)
		}
	}
	if got := r.Text("100%_of_them"); got != "[HALF]" {
		t.Error(got)
	}
}

// TestRedactorKnowsLines: what is printed comes line by line.
func TestRedactorKnowsLines(t *testing.T) {
	r := NewRedactor(&Memory{})
	r.SetValues(map[string]string{"PEM": "-----BEGIN KEY-----\r\nMC4CAQAwBQYDK2VwBCIEIPj0\nshort\nzQoMlFhUGkc5Lq==and-more\n"})
	for text, want := range map[string]string{
		"-----BEGIN KEY-----\r\nMC4CAQAwBQYDK2VwBCIEIPj0\nshort\nzQoMlFhUGkc5Lq==and-more\n": "[PEM]",
		"MC4CAQAwBQYDK2VwBCIEIPj0":   "[PEM]",
		"x zQoMlFhUGkc5Lq==and-more": "x [PEM]",
		"short":                      "short",
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// TestLinesHaveABound: whoever sets variables does not have the server keep a value for each of millions of lines.
func TestLinesHaveABound(t *testing.T) {
	r := NewRedactor(&Memory{})
	var value strings.Builder
	for i := range 2 * maxLines {
		fmt.Fprintf(&value, "line %020d\n", i)
	}
	r.SetValues(map[string]string{"A": value.String(), "B": value.String()})
	if n := len(r.secrets.Load().values); n > maxLines+2 {
		t.Errorf("%d values are kept", n)
	}
	if got := r.Text("x line 00000000000000000009"); got != "x [A]" {
		t.Error(got)
	}
}

// TestRedactorTakesTheLongest: of values that begin alike.
func TestRedactorTakesTheLongest(t *testing.T) {
	r := NewRedactor(&Memory{})
	long := strings.Repeat("k", 100)
	r.SetValues(map[string]string{"A": "kkkkkkkk", "B": "kkkkkkkkkk", "C": "kkkkkkkkkkz", "D": long + "-first-of-two", "E": long + "-second-of-two"})
	for text, want := range map[string]string{
		"kkkkkkkkk!":                          "[A]k!",
		"kkkkkkkkkkx":                         "[B]x",
		"kkkkkkkkkkz!":                        "[C]!",
		"say " + long + "-first-of-two":       "say [D]",
		"say " + long + "-second-of-two, yes": "say [E], yes",
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// TestRedactorComparesLittle: who sets variables chooses what is compared with what functions print. That takes time in
// proportion to the text, however many values agree with it for however long; else this would take hours.
func TestRedactorComparesLittle(t *testing.T) {
	env := map[string]string{}
	for i := range 500 {
		env[fmt.Sprint("LONG_", i)] = strings.Repeat("a", 4000) + fmt.Sprintf("%05d", i)
		env[fmt.Sprint("SHORT_", i)] = strings.Repeat("b", 50) + fmt.Sprintf("%05d", i)
		env[fmt.Sprint("NESTED_", i)] = strings.Repeat("c", 8+i) + "!"
	}
	r := NewRedactor(&Memory{})
	r.SetValues(env)
	for _, piece := range []string{strings.Repeat("a", 63), strings.Repeat("b", 49), strings.Repeat("c", 40), "abc"} {
		text := strings.Repeat(piece+"-", 256<<10/(len(piece)+1))
		if got := r.Text(text); got != text {
			t.Errorf("%.70s… became %.70s…", text, got)
		}
	}
	if got := r.Text(strings.Repeat("a", 256<<10) + "-"); !strings.HasPrefix(got, "[LONG_") || len(got) > 4<<10 {
		t.Errorf("%.70s", got)
	}
}
