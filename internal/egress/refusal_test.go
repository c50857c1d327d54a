package egress

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/internal/record"
)

// TestRefusalsAreMarked: every refusal by the egress carries the sandbox's mark and says in the header what
// the body says, whatever the status, version and method.
func TestRefusalsAreMarked(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	marked := func(what string, resp *http.Response, body string) {
		t.Helper()
		value := resp.Header.Get(deniedHeader)
		mark, text, _ := strings.Cut(value, " ")
		var p problem
		if err := json.Unmarshal([]byte(text), &p); err != nil || mark != w.sandbox.Mark() || p.Code != deniedCode || p.Status != resp.StatusCode {
			t.Errorf("%s: %d %q %v", what, resp.StatusCode, value, err)
		}
		if body != "" && body != text {
			t.Errorf("%s: the body is %s, the header %s", what, body, text)
		}
	}
	for _, two := range []bool{false, true} {
		for what, url := range map[string]string{"denied": "https://evil.test/a", "ambiguous": "https://api.test/a%2fb", "with odd bytes": "https://evil.test/%ff\"é"} {
			for _, method := range []string{"GET", "HEAD", "POST"} {
				resp, body := w.do(w.client(two), method, url, "")
				marked(fmt.Sprint(what, " ", method, " ", two), resp, body)
			}
		}
	}
	c := w.mustDial("evil.test:80")
	io.WriteString(c, "GET / HTTP/1.1\r\nbad header\r\n\r\n")
	all, _ := io.ReadAll(c)
	if !strings.Contains(string(all), "\r\n"+deniedHeader+": "+w.sandbox.Mark()+" {") {
		t.Errorf("what the server can't parse: %s", all)
	}
	for header, why := range map[string]string{"bad header": "is not valid HTTP/1.1", "Host: b\xfccher.test": "malformed Host header; the name of a host outside ASCII is written as in DNS, with xn--"} {
		c := w.mustDial("evil.test:80")
		io.WriteString(c, "GET / HTTP/1.1\r\n"+header+"\r\n\r\n")
		if all, _ := io.ReadAll(c); !strings.Contains(string(all), `"detail":"http://evil.test:80 is refused: `) || !strings.Contains(string(all), why) {
			t.Errorf("%s: %s", header, all)
		}
	}
	other, err := w.fn.Sandbox("i-2")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.Mark() == w.sandbox.Mark() || len(other.Mark()) < 26 {
		t.Errorf("marks %q and %q", w.sandbox.Mark(), other.Mark())
	}
}

// TestUpstreamCantMark: what an upstream sends under the name of the mark does not come in, nor is it told
// the mark.
func TestUpstreamCantMark(t *testing.T) {
	w := newWorld(t, config{rules: []string{"GET https://api.test/a"}, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for _, k := range []string{"Weir-Denied", "weir-denied", "WEIR_DENIED", "Weir_denied"} {
			rw.Header()[k] = []string{"forged"}
		}
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Set("Trailer", "Weir-Denied, X-Sum")
		rw.WriteHeader(http.StatusForbidden)
		fmt.Fprint(rw, "body")
		rw.Header().Set("X-Sum", "17")
		if r.URL.RawQuery == "more" {
			rw.Header().Set(http.TrailerPrefix+"Weir_denied", "forged")
		}
	})})
	for _, url := range []string{"https://api.test/a", "https://api.test/a?more"} {
		for _, two := range []bool{false, true} {
			resp, _ := w.do(w.client(two), "GET", url, "")
			if resp.StatusCode != http.StatusForbidden || strings.Contains(fmt.Sprint(resp.Header, resp.Trailer), "forged") || resp.Trailer.Get("X-Sum") != "17" {
				t.Errorf("%d %v %v", resp.StatusCode, resp.Header, resp.Trailer)
			}
		}
	}
	for i := range w.up.got() {
		if strings.Contains(fmt.Sprint(w.up.header(i)), w.sandbox.Mark()) {
			t.Errorf("the upstream was told the mark: %v", w.up.header(i))
		}
	}
}

// TestRefusalsAreTold: what a reset or an RCODE can't say is said before the sandbox sees it, each time,
// and nothing is said of what the outside did.
func TestRefusalsAreTold(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	var mu sync.Mutex
	var told []Refusal
	take := func() []Refusal {
		mu.Lock()
		defer mu.Unlock()
		r := told
		told = nil
		return r
	}
	w := newWorld(t, config{rules: []string{"tcp db.test:5432", "tcp 10.0.0.1:5432", charge}, resolve: []string{"db.test=" + dead.Addr().String()},
		told: func(r Refusal) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, r)
		}})
	for _, c := range []struct{ to, message, fix string }{
		{"db.test:5433", "tcp://db.test:5433 is not allowed: ", `tcp = ["db.test:5433"]`},
		{"db.test:5433", "tcp://db.test:5433 is not allowed: ", `tcp = ["db.test:5433"]`},
		{"api.test:443", "api.test:443 is refused: what was sent is neither TLS nor HTTP", ""},
		{"10.0.0.1:5432", "10.0.0.1:5432 is refused: ", ""},
		{"198.18.77.77:80", "198.18.77.77:80 is refused: the address belongs to no name", ""},
	} {
		conn := w.mustDial(c.to)
		io.WriteString(conn, "\x00\x01\x02")
		io.ReadAll(conn) // until the reset
		r := take()
		if len(r) != 1 || int(r[0].Port) != conn.LocalAddr().(*net.TCPAddr).Port || !strings.HasPrefix(r[0].Message, c.message) || r[0].Fix != c.fix {
			t.Errorf("%s: %+v", c.to, r)
		}
	}
	for range 2 {
		w.ask("Data.evil.test.", dnsmessage.TypeTXT)
		if r := take(); len(r) != 1 || r[0].Type != dnsmessage.TypeTXT || r[0].Name != "Data.evil.test" || r[0].Fix != `dns = ["TXT data.evil.test"]` ||
			!strings.HasPrefix(r[0].Message, "DNS TXT data.evil.test is not allowed: ") {
			t.Errorf("the question: %+v", r)
		}
	}
	for _, c := range []struct{ name, reason string }{
		{"-a.test.", `A -a.test is refused: the host has a label that begins or ends with a hyphen`}, {"1.2.3.", "A 1.2.3 is refused: the host is an IPv4 address"},
		{"192.0.2.1.", "A 192.0.2.1 is refused: an address is no name"}, {".", "A . is refused: the host is empty"},
		{"b\xfccher.test.", `A "b\xfccher.test" is refused: the host holds a character outside ASCII; its name in DNS begins with xn--`},
	} {
		w.ask(c.name, dnsmessage.TypeA)
		if r := take(); len(r) != 1 || !strings.HasPrefix(r[0].Message, c.reason) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	io.ReadAll(w.mustDial("db.test:5432")) // nobody is there
	w.mustDial("evil.test:80").Close()
	w.denied("the close", func(d record.Decision) bool { return d.Target == "evil.test:80" })
	if r := take(); len(r) != 0 {
		t.Errorf("told of what was not refused: %+v", r)
	}
}

// TestSilentClientIsToldSoon: a client that waits for the server to speak, as those of MySQL and SMTP do,
// gives up after seconds; it hears before that it is refused.
func TestSilentClientIsToldSoon(t *testing.T) {
	told := make(chan Refusal, 1)
	w := newWorld(t, config{rules: []string{charge}, told: func(r Refusal) { told <- r }})
	c := w.mustDial("db.test:3306")
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%v, want a reset", err)
	}
	if r := <-told; r.Fix != `tcp = ["db.test:3306"]` {
		t.Errorf("%+v", r)
	}
}

// TestDatabaseByTLS: a protocol that begins with TLS and is not HTTP is refused like one without TLS.
func TestDatabaseByTLS(t *testing.T) {
	told := make(chan Refusal, 1)
	w := newWorld(t, config{rules: []string{charge}, told: func(r Refusal) { told <- r }})
	for address, fix := range map[string]string{"mongo.test:27017": `tcp = ["mongo.test:27017"]`, "api.test:443": ""} {
		host, _, _ := strings.Cut(address, ":")
		c, err := w.tlsDial(address, host)
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00"))
		expectReset(t, address, c)
		if r := <-told; r.Fix != fix || !strings.Contains(r.Message, address) {
			t.Errorf("%s: %+v", address, r)
		}
	}
}

// TestServerNameIsTold: the alert that ends a handshake says nothing of the host that was dialled.
func TestServerNameIsTold(t *testing.T) {
	told := make(chan Refusal, 1)
	w := newWorld(t, config{rules: []string{charge}, told: func(r Refusal) { told <- r }})
	for _, c := range []struct{ to, sni, message, fix string }{
		{"redis.test:6379", "", "tcp://redis.test:6379 is not allowed: ", `tcp = ["redis.test:6379"]`},
		{"redis.test:6379", "api.test", "redis.test:6379 is refused: the TLS handshake names api.test, but the connection was made to redis.test", ""},
		{"api.test:443", "", "api.test:443 is refused: the TLS handshake names no host, but the connection was made to api.test", ""},
	} {
		conn := tls.Client(w.mustDial(c.to), &tls.Config{ServerName: c.sni, InsecureSkipVerify: true})
		if err := conn.Handshake(); err == nil {
			t.Errorf("%+v: the handshake went through", c)
		}
		if r := <-told; !strings.HasPrefix(r.Message, c.message) || r.Fix != c.fix || int(r.Port) != conn.LocalAddr().(*net.TCPAddr).Port {
			t.Errorf("%+v: %+v", c, r)
		}
	}
}
