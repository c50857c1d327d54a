package policy

import (
	"errors"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// newRequest makes the request of either kind by its scheme.
func newRequest(method, scheme, authority, target string) (Request, error) {
	if scheme == "ws" || scheme == "wss" {
		return NewWS(scheme, authority, target)
	}
	return NewHTTP(method, scheme, authority, target)
}

// fields splits a line at spaces, but not inside a Go string.
func fields(t testing.TB, line string) (out []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		f, rest, _ := strings.Cut(line, " ")
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			rest = line[len(quoted):]
			if f, err = strconv.Unquote(quoted); err != nil {
				t.Fatal(err)
			}
		}
		out, line = append(out, f), rest
	}
	return out
}

// urlCase is a line of testdata/urls.txt.
type urlCase struct{ line, scheme, authority, target, want string }

func urlCases(t testing.TB) (cases []urlCase) {
	t.Helper()
	data, err := os.ReadFile("testdata/urls.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSuffix(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		in, want, _ := strings.Cut(line, " => ")
		f := fields(t, in)
		if len(f) != 3 {
			t.Fatalf("%q has %d fields", in, len(f))
		}
		cases = append(cases, urlCase{in, f[0], f[1], f[2], want})
	}
	if len(cases) < 300 {
		t.Fatalf("only %d cases", len(cases))
	}
	return cases
}

func TestURLs(t *testing.T) {
	for _, c := range urlCases(t) {
		r, err := newRequest("GET", c.scheme, c.authority, c.target)
		if reason, refused := strings.CutPrefix(c.want, "refused "); refused {
			var a *Ambiguous
			if !errors.As(err, &a) || !strings.Contains(a.Reason, reason) {
				t.Errorf("%s: got %q, %v; want a refusal with %q", c.line, r.URL, err, reason)
			}
			continue
		}
		if err != nil || r.URL.String() != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.line, r.URL, err, c.want)
		}
	}
}

func TestMethods(t *testing.T) {
	for _, m := range []string{"GET", "get", "PROPFIND", "M-SEARCH"} {
		if _, err := NewHTTP(m, "https", "a.example", "/"); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
	for _, m := range []string{"", "CONNECT", "GET ", "GE\nT", "GET/", "G\x00", "GÉT", "(GET)"} {
		if _, err := NewHTTP(m, "https", "a.example", "/"); err == nil {
			t.Errorf("%q was accepted", m)
		}
	}
}

func TestLongPath(t *testing.T) {
	for n, ok := range map[int]bool{maxPath: true, maxPath + 1: false} {
		if _, err := NewHTTP("GET", "https", "a.example", "/"+strings.Repeat("a", n-1)); (err == nil) != ok {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestNewTCP(t *testing.T) {
	for host, want := range map[string]string{"DB.internal": "db.internal", "192.0.2.1": "192.0.2.1", "::1": "::1", "2001:DB8::": "2001:db8::"} {
		if r, err := NewTCP(host, 5432); err != nil || r.Host != want || r.Port != 5432 || r.Kind != TCP {
			t.Errorf("%s: %+v, %v", host, r, err)
		}
	}
	for _, host := range []string{"", "[::1]", "a:80", "127.1", "a.", "a b", "fe80::1%eth0"} {
		if _, err := NewTCP(host, 5432); err == nil {
			t.Errorf("%q was accepted", host)
		}
	}
	if _, err := NewTCP("a", 0); err == nil {
		t.Error("port 0 was accepted")
	}
}

func TestNewUDP(t *testing.T) {
	if r, err := NewUDP("Stats.internal", 8125); err != nil || r.Host != "stats.internal" || r.Port != 8125 || r.Kind != UDP {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := NewUDP("127.1", 8125); err == nil {
		t.Error("an odd address was accepted")
	}
}

func TestNewDNS(t *testing.T) {
	for name, want := range map[string]string{"Example.com": "example.com", "example.com.": "example.com", "_x._TCP.a": "_x._tcp.a", "1.2.0.192.in-addr.arpa": "1.2.0.192.in-addr.arpa"} {
		if r, err := NewDNS("TXT", name); err != nil || r.Host != want || r.Type != "TXT" || r.Kind != DNS {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for _, name := range []string{"", ".", "a..b", "a..", "192.0.2.1", "::1", "a b", "*.example.com", "a/b", "é.example"} {
		if _, err := NewDNS("TXT", name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	for typ, ok := range map[string]bool{"TXT": true, "TYPE99": true, "ANY": true, "txt": false, "": false, "T T": false} {
		if _, err := NewDNS(typ, "a.example"); (err == nil) != ok {
			t.Errorf("%q: %v", typ, err)
		}
	}
	for n, want := range map[uint16]string{1: "A", 16: "TXT", 257: "CAA", 99: "TYPE99"} {
		if got := DNSType(n); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
}

func TestNewFile(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		path string
		ok   bool
	}{
		{Read, "/etc/passwd", true}, {Write, "/tmp/a b\n", true}, {Exec, "/bin/sh", true}, {Exec, "uname", true}, {Addon, "/var/task/x.node", true},
		{Read, "passwd", false}, {Read, "", false}, {Read, "/etc/../etc/passwd", false}, {Read, "/etc//passwd", false}, {Read, "/etc/", false},
		{Read, "/a\x00", false}, {Exec, "./x", false}, {Exec, "..", false}, {Exec, "", false}, {HTTP, "/x", false}, {Env, "X", false},
	} {
		if _, err := NewFile(c.kind, c.path); (err == nil) != c.ok {
			t.Errorf("%d %q: %v", c.kind, c.path, err)
		}
	}
}

// carelessServers do to a decoded path what some do: none may find a dot segment by it.
var carelessServers = func() (list []func(string) string) {
	each := func(f func(segment string) string) {
		list = append(list, func(p string) string {
			segments := strings.Split(p, "/")
			for i, s := range segments {
				segments[i] = f(s)
			}
			return strings.Join(segments, "/")
		})
	}
	each(strings.TrimSpace)
	for _, cut := range []string{" ", ";", "?", "#", "\u00a0", "\uff1b", "\uff1f", "\uff03", "\u037e"} {
		each(func(s string) string { s, _, _ = strings.Cut(s, cut); return s })
	}
	for _, gone := range []*unicode.RangeTable{unicode.Cf, unicode.Variation_Selector, unicode.White_Space} {
		each(func(s string) string {
			return strings.Map(func(r rune) rune {
				if unicode.Is(gone, r) {
					return -1
				}
				return r
			}, s)
		})
	}
	each(func(s string) string { // fullwidth forms, as NFKC folds them
		return strings.Map(func(r rune) rune {
			if r >= 0xff01 && r <= 0xff5e {
				return r - 0xff01 + '!'
			}
			return r
		}, s)
	})
	each(strings.NewReplacer("\u2024", ".", "\u2025", "..", "\u2026", "...", "\ufe52", ".", "\u2044", "/", "\u2215", "/", "\u2216", "/", "\ufe68", "/").Replace)
	each(strings.NewReplacer("\u00a5", "/", "\u20a9", "/").Replace)
	return list
}()

// What is accepted means the same to Go's own parser, making it canonical again changes nothing, and
// no server finds a dot segment in it, however careless.
func FuzzCanonicalURL(f *testing.F) {
	for _, c := range urlCases(f) {
		f.Add("GET", c.scheme, c.authority, c.target)
	}
	f.Fuzz(func(t *testing.T, method, scheme, authority, target string) {
		r, err := newRequest(method, scheme, authority, target)
		if err != nil {
			var a *Ambiguous
			if !errors.As(err, &a) || a.Reason != clip(a.Reason) {
				t.Fatalf("a bad refusal: %q", err)
			}
			return
		}
		text := r.URL.String()
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if u.Scheme != r.URL.Scheme || u.Hostname() != r.URL.Host || u.EscapedPath() != r.URL.Path || u.RawQuery != r.URL.Query || u.Fragment != "" || u.User != nil {
			t.Fatalf("%q is %+v to us and %+v to net/url", text, r.URL, u)
		}
		again, err := newRequest(method, r.URL.Scheme, r.URL.Authority(), r.URL.Path+"?"+r.URL.Query)
		if err != nil || again.URL != r.URL {
			t.Fatalf("%+v becomes %+v, %v", r.URL, again.URL, err)
		}
		if clean := path.Clean(u.Path); clean != u.Path && clean+"/" != u.Path {
			t.Fatalf("%q cleaned is %q", u.Path, clean)
		}
		for _, careless := range carelessServers {
			if seen := careless(u.Path); slices.ContainsFunc(strings.Split(seen, "/"), func(s string) bool { return s == "." || s == ".." }) {
				t.Fatalf("%q may be read as %q", u.Path, seen)
			}
		}
	})
}

// What is accepted as the name of a question, or as the place of a datagram, is in its one spelling, and
// the rule that Explain proposes allows it and nothing beside it.
func FuzzNames(f *testing.F) {
	for _, c := range urlCases(f) {
		f.Add("TXT", c.authority, uint16(443))
	}
	for _, s := range []string{"_mongodb._tcp.cluster0.example.net", "example.com.", "1.2.0.192.in-addr.arpa", "*.example.com", "xn--bcher-kva.example"} {
		f.Add("SRV", s, uint16(53))
	}
	f.Fuzz(func(t *testing.T, typ, name string, port uint16) {
		dns, dnsErr := NewDNS(typ, name)
		udp, udpErr := NewUDP(name, port)
		for _, c := range []struct {
			request Request
			err     error
			again   func(Request) (Request, error)
		}{
			{dns, dnsErr, func(r Request) (Request, error) { return NewDNS(r.Type, r.Host) }},
			{udp, udpErr, func(r Request) (Request, error) { return NewUDP(r.Host, r.Port) }},
		} {
			var a *Ambiguous
			if c.err != nil {
				if !errors.As(c.err, &a) || a.Reason != clip(a.Reason) {
					t.Fatalf("a bad refusal: %q", c.err)
				}
				continue
			}
			if again, err := c.again(c.request); err != nil || again != c.request {
				t.Fatalf("%+v becomes %+v, %v", c.request, again, err)
			}
			checkFix(t, &c.request)
		}
	})
}

// checkFix holds the fix for a request that nothing allows.
func checkFix(t *testing.T, r *Request) {
	t.Helper()
	e := compile(t)
	x := e.Explain(r, e.Decide(r))
	if strings.ContainsFunc(x.String(), func(c rune) bool { return c < ' ' || c > '~' }) {
		t.Fatalf("%q", x)
	}
	pattern, ok := strings.CutPrefix(x.Fix, r.Kind.String()+` = ["`)
	if !ok {
		return
	}
	fixed := compile(t, r.Kind.String()+" "+strings.TrimSuffix(pattern, `"]`))
	other := *r
	other.Host = "x." + r.Host
	if !fixed.Decide(r).Allow || fixed.Decide(&other).Allow {
		t.Fatalf("%s is not the fix for %+v", x.Fix, r)
	}
}
