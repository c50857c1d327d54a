package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/routing"
)

// proxied gives options for a site whose /up/* is an upstream's, and everything else that a rule says of it.
func proxied(t *testing.T, upstream http.HandlerFunc, more string) func(*Options) {
	t.Helper()
	s := httptest.NewServer(upstream)
	t.Cleanup(s.Close)
	rules, warnings := routing.Parse(routing.Sources{Config: routing.Text{Name: "netlify.toml", Text: fmt.Sprintf(
		"[[redirects]]\nfrom = \"/up/*\"\nto = \"%s/base/:splat\"\nstatus = 200\n%s", s.URL, more)}})
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return func(o *Options) { o.Rules, o.Proxy = rules, transport }
}

func TestProxiedRequests(t *testing.T) {
	var got *http.Request
	var body string
	upstream := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.Header().Set("X-Up", "1")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "from upstream")
	}
	site := proxied(t, upstream, "headers = {X-Key = \"of the rule\"}\n")
	bothVersions(t, func(t *testing.T, http2 bool) {
		s := serve(t, echo(), http2, site)
		r, err := http.NewRequest("POST", s.URL+"/up/a%2Fb/c?x=1&y=%20", strings.NewReader("sent"))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"X-Nf-Request-Id": "forged", "X-Nf-Geo": "forged", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "forged.test",
			"X-Forwarded-Proto": "gopher", "Forwarded": "for=1.2.3.4", "X-Key": "of the client", "Cookie": "a=b", "Proxy-Authorization": "secret", "Te": "trailers",
			"Accept-Encoding": "br", "X-Real-Ip": "1.2.3.4", "X-Forwarded-Port": "1", "X_Nf_Sign": "forged", "X_Forwarded_For": "1.2.3.4"} {
			r.Header.Set(name, value)
		}
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if answer := text(t, res); res.StatusCode != http.StatusTeapot || answer != "from upstream" || res.Header.Get("X-Up") != "1" || res.Header.Get("X-Hop") != "" {
			t.Errorf("%d %q %v", res.StatusCode, answer, res.Header)
		}
		scheme := strings.SplitN(s.URL, ":", 2)[0]
		want := map[string]string{"X-Key": "of the rule", "Cookie": "a=b", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": r.URL.Host, "X-Forwarded-Proto": scheme,
			"X-Nf-Client-Connection-Ip": "127.0.0.1", "X-Nf-Geo": "", "Forwarded": "", "Proxy-Authorization": "", "Te": "trailers", "Cdn-Loop": "weir", "Accept-Encoding": "br",
			"X-Real-Ip": "", "X-Forwarded-Port": "", "X_Nf_Sign": "", "X_Forwarded_For": ""}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if have := strings.Join(got.Header.Values(name), ", "); have != want[name] {
				t.Errorf("%s is %q, want %q", name, have, want[name])
			}
		}
		if id := got.Header.Get("X-Nf-Request-Id"); got.RequestURI != "/base/a%2Fb/c?x=1&y=%20" || body != "sent" || strings.HasPrefix(got.Host, "site") || len(id) != 26 {
			t.Errorf("%s of %s, body %q, request %s", got.RequestURI, got.Host, body, id)
		}
	})
}

// TestRedirectsOfAnUpstreamAreTheClients: nobody follows them here, or an upstream could lead to the inside.
func TestRedirectsOfAnUpstreamAreTheClients(t *testing.T) {
	calls := 0
	site := proxied(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
	}, "")
	w := answerTo(request("GET", "/up/x", ""), site)
	if w.Code != 302 || w.Header().Get("Location") != "http://169.254.169.254/latest" || calls != 1 {
		t.Errorf("%d %v after %d calls", w.Code, w.Header(), calls)
	}
}

func TestUpstreamsThatCanNotAnswer(t *testing.T) {
	site := proxied(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "")
	for name, c := range map[string]struct {
		change func(*Options)
		want   int
	}{
		"it hangs up":     {func(*Options) {}, 502},
		"out of reach":    {func(o *Options) { o.Proxy = refusing{errors.New("10.0.0.7 is private")} }, 502},
		"nobody to carry": {func(o *Options) { o.Proxy = nil }, 502},
		"too slow":        {func(o *Options) { o.Proxy = refusing{errSlowUpstream} }, 504},
	} {
		r := request("GET", "/up/x", "")
		w := answerTo(r, site, c.change)
		if w.Code != c.want || strings.Contains(w.Body.String(), "10.0.0.7") || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// refusing is a way out that leads nowhere.
type refusing struct{ err error }

func (f refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// TestRulesThatLeadToEachOtherEnd: a request goes round no more than a few times.
func TestRulesThatLeadToEachOtherEnd(t *testing.T) {
	var self http.Handler
	calls := 0
	site := proxied(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		r.Host, r.URL.Path = "localhost", "/up/again"
		self.ServeHTTP(w, r)
	}, "")
	o := Options{Logger: quiet, Functions: echo(), AllowHost: func(string) bool { return true }}
	site(&o)
	self = New(o)
	w := httptest.NewRecorder()
	self.ServeHTTP(w, request("GET", "/up/x", ""))
	if w.Code != http.StatusLoopDetected || calls != maxLoops {
		t.Errorf("%d after %d calls", w.Code, calls)
	}
}

// TestNoOtherProtocolIsCarried: an upgrade would be a tunnel that no rule looks into. What asks for a WebSocket but not
// as browsers do is none.
func TestNoOtherProtocolIsCarried(t *testing.T) {
	var header http.Header
	site := proxied(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if r.URL.Path == "/base/101" {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}
	}, "")
	for path, want := range map[string]int{"/up/x": 200, "/up/101": 502} {
		w := answerTo(request("GET", path, "", "Connection: Upgrade", "Upgrade: websocket"), site)
		if w.Code != want || header.Get("Upgrade") != "" || header.Get("Connection") != "" {
			t.Errorf("%s: %d, upstream got %v", path, w.Code, header)
		}
	}
}

// TestClientThatGoesEndsTheUpstreamsRequest: nobody waits for what nobody reads.
func TestClientThatGoesEndsTheUpstreamsRequest(t *testing.T) {
	gone := make(chan struct{})
	site := proxied(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}, "")
	s := serve(t, echo(), false, site)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/up/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Do(r); err != nil { // its head came at once
		t.Fatal(err)
	}
	cancel()
	<-gone
}

// TestWhatComesBeforeAnAnswerStays: an upstream's 1xx would be the answer to a client of HTTP/1.0, and what follows it
// the next one.
func TestWhatComesBeforeAnAnswerStays(t *testing.T) {
	site := proxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Early", "1")
		for range 100 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Del("X-Early")
		io.WriteString(w, "answer")
	}, "")
	s := serve(t, echo(), false, site)
	for _, version := range []string{"1.0", "1.1"} {
		conn := dial(t, s)
		fmt.Fprintf(conn, "GET /up/x HTTP/%s\r\nHost: localhost\r\nConnection: close\r\n\r\n", version)
		all, err := io.ReadAll(conn)
		if got := string(all); err != nil || !strings.HasPrefix(got, "HTTP/"+version+" 200") || strings.Contains(got, "103") || strings.Contains(got, "X-Early") {
			t.Errorf("by %s: %q %v", version, got, err)
		}
	}
}

// TestStatusesThatAreNone: an upstream's nonsense is no success.
func TestStatusesThatAreNone(t *testing.T) {
	site := ruled(t, "/up/* https://up.test/:splat 200\n", "", nil)
	for status, want := range map[int]int{99: 502, 0: 502, 101: 502, 200: 200, 999: 999} {
		up := transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("x")), ContentLength: 1}, nil
		})
		if w := answerTo(request("GET", "/up/x", ""), site, func(o *Options) { o.Proxy = up }); w.Code != want {
			t.Errorf("%d: %d", status, w.Code)
		}
	}
}
