package policy

// What we accept must mean the same to the parsers that functions and their upstreams use: WHATWG URL
// (Node) and net/url. Where two of them differ, we refuse.

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reading is how one parser reads a URL.
type reading struct {
	OK                       bool
	Scheme, Host, Port, Path string
}

// byNode reads URLs as Node does, all in one process.
func byNode(t *testing.T, urls []string) []reading {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("there is no node in the PATH: WHATWG URL is not compared")
	}
	in, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "-e", `
		const read = u => {
			try { u = new URL(u) } catch { return { OK: false } }
			return { OK: true, Scheme: u.protocol.slice(0, -1), Host: u.hostname, Port: u.port, Path: u.pathname }
		}
		console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map(read)))`)
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []reading
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(urls) {
		t.Fatalf("%d readings of %d URLs: %v", len(all), len(urls), err)
	}
	return all
}

// byGo reads a URL as net/url does.
func byGo(s string) reading {
	u, err := url.Parse(s)
	if err != nil {
		return reading{}
	}
	return reading{true, u.Scheme, u.Host[:len(u.Host)-len(portOf(u.Host))], u.Port(), u.EscapedPath()}
}

// portOf gives the ":port" that an authority ends with.
func portOf(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		return authority[i:]
	}
	return ""
}

// normal gives a reading in the form in which they are compared: the parsers leave ports, the case of
// hosts and escapes, the form of addresses, and characters that need an escape as they are, or not.
func (r reading) normal() reading {
	if n, err := strconv.ParseUint(r.Port, 10, 16); err == nil && uint16(n) == defaultPort(r.Scheme) {
		r.Port = ""
	}
	r.Host = strings.ToLower(r.Host)
	if a, err := netip.ParseAddr(strings.Trim(r.Host, "[]")); err == nil {
		r.Host = a.String()
	}
	segments := strings.Split(r.Path, "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			r.OK = false
		}
		segments[i] = url.PathEscape(decoded)
	}
	r.Path = strings.Join(segments, "/")
	return r
}

func ours(u URL) reading {
	return reading{true, u.Scheme, bracketed(u.Host), strconv.Itoa(int(u.Port)), u.Path}
}

// TestParsersAgree takes each URL of testdata/urls.txt as a client would write it.
func TestParsersAgree(t *testing.T) {
	var raw, canonical []string
	var accepted []Request
	refused := []string{}
	for _, c := range urlCases(t) {
		text := c.scheme + "://" + c.authority + c.target
		r, err := newRequest("GET", c.scheme, c.authority, c.target)
		if err != nil {
			refused = append(refused, text)
			continue
		}
		raw, canonical, accepted = append(raw, text), append(canonical, r.URL.String()), append(accepted, r)
	}
	node := byNode(t, slices.Concat(raw, canonical, refused))
	for i, r := range accepted {
		want := ours(r.URL).normal()
		if got := node[i]; got.normal() != want {
			t.Errorf("%q is %+v to us, %+v to Node", raw[i], want, got)
		}
		if got := byGo(raw[i]); got.normal() != want {
			t.Errorf("%q is %+v to us, %+v to net/url", raw[i], want, got)
		}
		// The canonical form needs no normalising: no parser changes it.
		for parser, got := range map[string]reading{"Node": node[len(raw)+i], "net/url": byGo(canonical[i])} {
			port := strings.TrimPrefix(portOf(r.URL.Authority()), ":")
			if want := (reading{true, r.URL.Scheme, bracketed(r.URL.Host), port, r.URL.Path}); got != want {
				t.Errorf("%q is %+v to %s", canonical[i], got, parser)
			}
		}
	}
	differ := 0
	for i, s := range refused {
		if node[2*len(raw)+i].normal() != byGo(s).normal() {
			differ++
		}
	}
	t.Logf("%d URLs are read alike by all; of %d that are refused, the two others read %d differently", len(raw), len(refused), differ)
	if len(raw) < 50 || differ < 50 {
		t.Error("the list says little")
	}
}

// TestRulesAndParsersAgree writes each URL of the list as a rule: it names what Node and net/url would
// call.
func TestRulesAndParsersAgree(t *testing.T) {
	var urls []string
	for _, c := range urlCases(t) {
		text := strings.TrimSpace(c.scheme + "://" + c.authority + c.target)
		if !strings.ContainsAny(text, "*?") && Check(ruleOf(text)) == nil {
			urls = append(urls, text)
		}
	}
	if len(urls) < 50 {
		t.Fatalf("only %d of the URLs are rules", len(urls))
	}
	node := byNode(t, urls)
	for i, text := range urls {
		rule := ruleOf(text)
		u, err := parseURLRule(&rule)
		if err != nil {
			t.Fatal(err)
		}
		scheme, _, _ := strings.Cut(text, ":")
		port := u.port
		if port == 0 {
			port = defaultPort(scheme)
		}
		want := ours(URL{Scheme: scheme, Host: u.host.exact, Port: port, Path: u.literal}).normal()
		for parser, got := range map[string]reading{"Node": node[i], "net/url": byGo(text)} {
			if got.Path == "" {
				got.Path = "/"
			}
			if got.normal() != want {
				t.Errorf("the rule %q names %+v, %s reads %+v", text, want, parser, got)
			}
		}
	}
}

func ruleOf(url string) Rule {
	if strings.HasPrefix(url, "ws") {
		return Rule{Kind: WS, Pattern: url}
	}
	return Rule{Kind: HTTP, Pattern: "GET " + url}
}
