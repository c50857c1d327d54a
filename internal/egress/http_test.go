package egress

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/record"
)

const charge = "POST https://api.test/v1/charges"

func TestAllowedRequestIsCarriedOut(t *testing.T) {
	for _, two := range []bool{false, true} {
		w := newWorld(t, config{rules: []string{charge}})
		resp, body := w.do(w.client(two), "POST", "https://api.test/v1/charges?expand=%7ea&x", "a=1")
		if resp.StatusCode != 200 || body != "ok" || (resp.ProtoMajor == 2) != two {
			t.Errorf("%d %s %q", resp.StatusCode, resp.Proto, body)
		}
		w.only("POST /v1/charges?expand=%7ea&x | api.test")
		if d := w.records.all(); len(d) != 0 {
			t.Errorf("records of an allowed request: %+v", d)
		}
	}
}

func TestDenialExplainsItself(t *testing.T) {
	for _, two := range []bool{false, true} {
		w := newWorld(t, config{rules: []string{charge}})
		resp, body := w.do(w.client(two), "GET", "https://api.test/v1/charges?secret=1", "")
		p := problemOf(t, resp, body)
		if resp.StatusCode != 403 || p.Code != "EWEIR" || p.Tried != "GET https://api.test/v1/charges" ||
			!strings.Contains(p.Nearest, charge) || !strings.Contains(p.Fix, "GET https://api.test/v1/charges") {
			t.Errorf("%+v", p)
		}
		d := w.denied("the GET", kind("http"))
		if d.Method != "GET" || d.Target != "https://api.test/v1/charges" || d.Rule != "weir.toml:1" || d.Request != "req-1" {
			t.Errorf("%+v", d)
		}
		if len(w.records.all()) != 1 {
			t.Errorf("%d records of one denial", len(w.records.all()))
		}
		if all := body + w.logs.String(); strings.Contains(all, "secret") {
			t.Errorf("the query shows: %s", all)
		}
		w.only()
	}
}

func TestDeniedHostShowsMethodAndURL(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	for _, url := range []string{"https://evil.test/steal", "http://evil.test/steal", "https://203.0.113.9/steal", "http://[2001:db8::9]:8080/steal"} {
		resp, body := w.do(w.client(false), "PUT", url, "data")
		if p := problemOf(t, resp, body); p.Status != 403 || p.Tried != "PUT "+url {
			t.Errorf("%s: %+v", url, p)
		}
		w.denied(url, func(d record.Decision) bool { return d.Method == "PUT" && d.Target == url })
	}
	w.only()
	if n := len(w.records.all()); n != 4 {
		t.Errorf("%d records of 4 denials", n)
	}
}

// TestOneAuthority: dialled address, SNI, Host and :authority must name one host and port.
func TestOneAuthority(t *testing.T) {
	rules := []string{charge, "POST https://other.test/**", "POST http://api.test/**", "POST https://203.0.113.7/**"}
	for _, c := range []struct{ name, url, host string }{
		{"another allowed host", "https://api.test/v1/charges", "other.test"},
		{"a denied host", "https://api.test/v1/charges", "evil.test"},
		{"another port", "https://api.test/v1/charges", "api.test:8443"},
		{"the port of the other scheme", "https://api.test/v1/charges", "api.test:80"},
		{"a name for an address", "https://203.0.113.7/v1/charges", "api.test"},
		{"an address for a name", "https://api.test/v1/charges", "203.0.113.7"},
		{"plain", "http://api.test/v1/charges", "other.test"},
	} {
		for _, two := range []bool{false, true} {
			if two && strings.HasPrefix(c.url, "http:") {
				continue
			}
			w := newWorld(t, config{rules: rules})
			client := w.client(two)
			client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
			r, _ := http.NewRequest("POST", c.url, nil)
			r.Host = c.host
			resp, err := client.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			resp.Body.Close()
			if resp.StatusCode != 421 {
				t.Errorf("%s (h2 %v): %d", c.name, two, resp.StatusCode)
			}
			w.denied(c.name, func(d record.Decision) bool { return strings.Contains(d.Reason, "connection was made to") })
			w.only()
		}
	}
}

// TestHostSpellings: what means the dialled host and port passes, and is sent in one spelling.
func TestHostSpellings(t *testing.T) {
	for host, want := range map[string]int{
		"api.test": 200, "API.Test": 200, "api.test:443": 200,
		"api.test.": 400, "api.test:0443": 400, "api.test:": 400, "user@api.test": 400, "api.test,evil.test": 400,
		"api%2etest": 400, "[api.test]": 400, "0x7f.1": 400, "api.test:443:443": 400, "": 400,
	} {
		w := newWorld(t, config{rules: []string{charge}})
		out := w.raw("api.test:443", "POST /v1/charges HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\n\r\n", 1)
		if !strings.HasPrefix(out, fmt.Sprint(want)) {
			t.Errorf("Host %q: %q, want %d", host, out, want)
		}
		if want == 200 {
			w.only("POST /v1/charges | api.test")
			continue
		}
		w.denied(host, kind("http"))
		w.only()
	}
}

func TestRequestTargets(t *testing.T) {
	for target, want := range map[string]int{
		"POST /v1/charges":                 200,
		"POST https://api.test/v1/charges": 400, "POST https://evil.test/v1/charges": 400, "POST http://evil.test/": 400,
		"POST //evil.test/v1/charges": 400, "POST /v1/../v1/charges": 400, "POST /v1/%2e%2e/charges": 400, "POST /v1//charges": 400,
		"POST /v1%2fcharges": 400, "POST /v1/charges\\": 400, "POST /v1/%63harges": 400, "POST /v1/charges;x": 400, "POST /v1/charges#x": 400,
		"OPTIONS *": 400, "POST *": 400, "CONNECT api.test:443": 400, "CONNECT evil.test:443": 400, "CONNECT /v1/charges": 400,
		"TRACE /v1/charges": 405, "TRACK /v1/charges": 405,
		"GET /v1/charges": 403, "post /v1/charges": 403, "POST /v1/charges/": 403, "POST /V1/charges": 403, "POST /v1/charge": 403,
	} {
		w := newWorld(t, config{rules: []string{charge, "TRACE https://api.test/v1/charges"}})
		method, path, _ := strings.Cut(target, " ")
		out := w.raw("api.test:443", method+" "+path+" HTTP/1.1\r\nHost: api.test\r\n\r\n", 1)
		if !strings.HasPrefix(out, fmt.Sprint(want)) {
			t.Errorf("%s: %q, want %d", target, out, want)
		}
		if want == 200 {
			w.only("POST /v1/charges | api.test")
			continue
		}
		w.only()
		w.denied(target, kind("http"))
	}
}

func TestSchemeIsExact(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	resp, body := w.do(w.client(false), "POST", "http://api.test/v1/charges", "x")
	if p := problemOf(t, resp, body); p.Status != 403 || !strings.Contains(p.Detail, "scheme") {
		t.Errorf("%+v", p)
	}
	out := w.raw("api.test:8443", "POST /v1/charges HTTP/1.1\r\nHost: api.test:8443\r\n\r\n", 1)
	if !strings.HasPrefix(out, "403") {
		t.Errorf("plain HTTP to a TLS port: %q", out)
	}
	w.only()
}

func TestHeadersThatReplaceTheRequestAreWithheld(t *testing.T) {
	bad := []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override", "x.http.method.override",
		"X-Original-URL", "X_Original_URL", "X-Rewrite-URL", "X-Forwarded-Host", "X-FORWARDED_HOST", "X-Forwarded-Proto", "X-Forwarded-Prefix",
		"X-Original-Request-URI", "X-Forwarded-Request-URI", "X-Original-Forwarded-Host", "X-Real-URL", "X-Rewrite-Path", "Base-URL",
		"Request-URI", "HTTP-URL", "Proxy-URL", "X-Override-Method", "X-HTTP-Verb", "Method-Override", "HTTP_Method_Override", "Destination",
		"X-Envoy-Original-Dst-Host", "X-Middleware-Rewrite", "X-Middleware-Subrequest", "X-Matched-Path", "X-Invoke-Path", "X-Now-Route-Matches",
		"Forwarded", "X-Host", "Content_Length", "Transfer_Encoding", "HTTP2-Settings", "Proxy-Authorization", "Proxy-Connection", "Keep-Alive"}
	for _, two := range []bool{false, true} {
		w := newWorld(t, config{rules: []string{charge}})
		header := []string{"X-Forwarded-For", "198.51.100.1", "X-Mine", "1", "Authorization", "Bearer t"}
		for _, b := range bad {
			if two { // HTTP/2 names are lower-case; a client refuses those of connections itself
				b = strings.ToLower(b)
				if strings.HasPrefix(b, "proxy-") || b == "keep-alive" || b == "http2-settings" {
					continue
				}
			}
			header = append(header, b, "DELETE")
		}
		resp, _ := w.do(w.client(two), "POST", "https://api.test/v1/charges", "x", header...)
		if resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		for k := range w.up.header(0) {
			switch k {
			case "X-Forwarded-For", "X-Mine", "Authorization", "Content-Length", "User-Agent":
			default:
				t.Errorf("h2 %v: the upstream received the header %s", two, k)
			}
		}
	}
}

func TestNominatedHeaders(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	out := w.raw("api.test:443", "POST /v1/charges HTTP/1.1\r\nHost: api.test\r\nConnection: x-mine, close, Content-Length, Host\r\nX-Mine: 1\r\nX-Kept: 1\r\nContent-Length: 3\r\n\r\na=1", 1)
	if !strings.HasPrefix(out, "200") {
		t.Fatal(out)
	}
	h := w.up.header(0)
	if h.Get("X-Mine") != "" || h.Get("X-Kept") != "1" || h.Get("Content-Length") != "3" {
		t.Errorf("%v", h)
	}
	w.only("POST /v1/charges | api.test")
}

func TestNothingIsAdded(t *testing.T) {
	for _, two := range []bool{false, true} {
		w := newWorld(t, config{rules: []string{"GET https://api.test/**"}, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header()["Date"], rw.Header()["Content-Type"] = nil, nil
			rw.Write([]byte("<html>"))
		})})
		r, _ := http.NewRequest("GET", "https://api.test/x", nil)
		r.Header["User-Agent"] = nil
		resp, err := w.client(two).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if len(w.up.header(0)) != 0 {
			t.Errorf("h2 %v: added to the request: %v", two, w.up.header(0))
		}
		resp.Header.Del("Content-Length")
		if len(resp.Header) != 0 {
			t.Errorf("h2 %v: added to the response: %v", two, resp.Header)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	w := newWorld(t, config{rules: []string{"GET https://api.test/**"}, handler: http.RedirectHandler("https://evil.test/collect", http.StatusTemporaryRedirect)})
	resp, _ := w.do(w.client(false), "GET", "https://api.test/a", "")
	if resp.StatusCode != 307 || resp.Header.Get("Location") != "https://evil.test/collect" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	w.only("GET /a | api.test")
	if resp, _ := w.do(w.client(false), "GET", resp.Header.Get("Location"), ""); resp.StatusCode != 403 {
		t.Errorf("the next hop: %d", resp.StatusCode)
	}
}

func TestNoPolicyDeniesEverything(t *testing.T) {
	w := newWorld(t, config{})
	resp, body := w.do(w.client(true), "GET", "https://api.test/", "")
	if p := problemOf(t, resp, body); p.Status != 403 {
		t.Errorf("%+v", p)
	}
	w.only()
}

// TestKeepAliveDecidesEachRequest: a connection that carried an allowed request has earned nothing.
func TestKeepAliveDecidesEachRequest(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	out := w.raw("api.test:443", "POST /v1/charges HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\na=1"+
		"GET /v1/customers?k HTTP/1.1\r\nHost: api.test\r\n\r\n"+
		"POST /v1/charges HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 0\r\n\r\n", 3)
	for _, want := range []string{"200 ok", "\n403 ", "\n421 "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %q", want, out)
		}
	}
	w.only("POST /v1/charges | api.test")
}
