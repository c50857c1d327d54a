package record

import "testing"

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
		"http://evil.test/aaaa/sk_live_1":                        "http://evil.test/aaaa/[LONG]",
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
