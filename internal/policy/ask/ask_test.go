package ask

import (
	"errors"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

func TestParse(t *testing.T) {
	for question, want := range map[string]string{ // the request, an *Ambiguous as "ambiguous", or the remedy's beginning
		"GET https://A.example":                  "GET https://a.example/",
		"GET https://a.example?q=1":              "GET https://a.example/?q=1",
		"GET https://a.example:8443/x?q#part":    "GET https://a.example:8443/x?q",
		"GET wss://a.example/x":                  "GET wss://a.example/x",
		"POST wss://a.example/x":                 "!ask for \"GET wss",
		"get https://a.example/":                 "!write \"GET https",
		"https://a.example/ GET":                 "!write the method",
		"https://a.example/":                     "!write the method in front",
		"GET ftp://a.example/":                   "!write https",
		"GET https://user@a.example/":            "ambiguous",
		"GET https://a.example/a b":              "ambiguous",
		"GET https://a.example/%2e%2e/":          "ambiguous",
		"GET https://a.example\\@b.example/":     "ambiguous",
		"CONNECT https://a.example/":             "ambiguous",
		"tcp db.internal:5432":                   "tcp db.internal:5432",
		"tcp [::1]:5432":                         "tcp ::1:5432",
		"tcp db.internal:0":                      "!ask for \"tcp",
		"tcp db.internal":                        "!ask for \"tcp",
		"udp stats.internal:8125":                "udp stats.internal:8125",
		"dns TXT a.example":                      "dns TXT a.example",
		"dns a.example":                          "!ask for \"dns",
		"dns txt a.example":                      "!write \"dns TXT a.example\"",
		"read /srv/a b":                          "read /srv/a b",
		"read /srv/../etc/passwd":                "read /etc/passwd",
		"read data.json":                         "read /var/task/data.json",
		"exec convert":                           "exec convert",
		"exec ./bin/x":                           "exec /var/task/bin/x",
		"env A":                                  "env A",
		"env A=b":                                "!give the name",
		"raed /x":                                "!did you mean \"read /x\"",
		"read":                                   "!ask for",
		"":                                       "!ask for",
		"GET https://xn--bcher-kva.example/":     "GET https://xn--bcher-kva.example/",
		"GET https://b\u00fccher.example/":       "ambiguous",
		"GET https://a.example/\x1b[2J":          "ambiguous",
		"addon /var/task/node_modules/x/b.node":  "addon /var/task/node_modules/x/b.node",
		"write /tmp/x":                           "write /tmp/x",
		"  GET   https://a.example/x  ":          "GET https://a.example/x",
		"MKCOL https://dav.example/calendars/me": "MKCOL https://dav.example/calendars/me",
	} {
		r, err := Parse(question)
		var bad *policy.Ambiguous
		var unclear *weir.Error
		got := ""
		switch {
		case errors.As(err, &bad):
			got = "ambiguous"
		case errors.As(err, &unclear):
			if got = "!" + unclear.Remedy; strings.HasPrefix(want, "!") && strings.HasPrefix(got, want) {
				got = want
			}
		case r.Kind == policy.HTTP || r.Kind == policy.WS:
			got = r.Method + " " + r.URL.String()
		case r.Kind == policy.TCP || r.Kind == policy.UDP:
			got = r.Kind.String() + " " + r.Host + ":" + map[uint16]string{5432: "5432", 8125: "8125"}[r.Port]
		case r.Kind == policy.DNS:
			got = "dns " + r.Type + " " + r.Host
		default:
			got = r.Kind.String() + " " + r.Path
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", question, got, err, want)
		}
	}
}

// FuzzAsk: whatever is asked, the answer is one line of printable ASCII, and its fix is nothing that a
// hostile question could have brought along.
func FuzzAsk(f *testing.F) {
	e, err := policy.Compile(&policy.Policy{Function: "f", Source: "weir.toml", Rules: []policy.Rule{
		{Kind: policy.HTTP, Pattern: "GET https://a.example/v1/*"}, {Kind: policy.TCP, Pattern: "db.internal:5432"}, {Kind: policy.Read, Pattern: "/srv/**"}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, q := range []string{"GET https://a.example/v1/x", "GET https://a.example/../x", "tcp db.internal:5432", "GET http://db.internal:5432/", "read /srv/\x1b", "env A", "dns TXT a.example",
		"exec sh\n", "GET https://a.example/*", "addon /x", "udp [::1]:1", "tcp a.example:443"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, question string) {
		a, err := Ask(e, question)
		if err != nil {
			if weir.ErrorCode(err) != weir.Invalid {
				t.Fatalf("%q: %v", question, err)
			}
			return
		}
		for _, s := range []string{a.String(), a.Fix, a.Request} {
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q gives %q", question, s)
			}
		}
		if a.Decision == Allow && a.Fix != "" || a.Decision != Allow && a.Decision != Deny || strings.Contains(a.Fix, "*") && !strings.Contains(a.Fix, "/tmp/**") {
			t.Fatalf("%q gives %+v", question, a)
		}
	})
}
