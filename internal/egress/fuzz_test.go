package egress

import (
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/internal/policy"
)

func FuzzParseOverride(f *testing.F) {
	for _, s := range []string{"api.test=127.0.0.1", "*.evil.test:443=[::1]:8443", "[fd00::1]:80=1.2.3.4", "a==", ":=:", "[]=[]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseOverride(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%q: %q", s, err)
			}
			return
		}
		if h, err := policy.CanonicalHost(o.host); err != nil || h != o.host || !o.addr.IsValid() || o.addr.Is4In6() || o.addr.Zone() != "" {
			t.Errorf("%q: %+v", s, o)
		}
	})
}

// FuzzDNS: no message breaks the server, an answer answers its question, and an address means the
// name it was asked for.
func FuzzDNS(f *testing.F) {
	for _, typ := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeTXT, typeHTTPS} {
		f.Add(question(f, "api.test.", typ, dnsmessage.ClassINET))
	}
	f.Add(question(f, "localhost.", dnsmessage.TypeA, dnsmessage.ClassCHAOS))
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	e, err := New(Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	fn := e.Function("pay", compile(f, charge), nil)
	f.Fuzz(func(t *testing.T, query []byte) {
		s, err := fn.Sandbox("i-1")
		if err != nil {
			t.Fatal(err)
		}
		s.ipv6.Store(true)
		b := s.answer(query, maxUDPAnswer)
		if b == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(b); err != nil || !m.Response || len(b) > 600 || len(m.Answers) > 1 {
			t.Fatalf("%v %+v", err, m)
		}
		for _, a := range m.Answers {
			var addr netip.Addr
			switch r := a.Body.(type) {
			case *dnsmessage.AResource:
				addr = netip.AddrFrom4(r.A)
			case *dnsmessage.AAAAResource:
				addr = netip.AddrFrom16(r.AAAA)
			}
			if name, _ := s.names.name(addr); !strings.EqualFold(name+".", a.Header.Name.String()) && !addr.IsLoopback() {
				t.Errorf("%s means %q", a.Header.Name, name)
			}
		}
	})
}

// FuzzDNSAnswer: whatever a server outside says, what comes back inside answers the question, in a message
// that can be read.
func FuzzDNSAnswer(f *testing.F) {
	types := []dnsmessage.Type{dnsmessage.TypeTXT, dnsmessage.TypeSRV, dnsmessage.TypeMX, dnsmessage.TypeCNAME, typeNAPTR, 257}
	ask := func(typ uint8) dnsmessage.Question {
		return dnsmessage.Question{Name: dnsmessage.MustNewName("info.test."), Type: types[int(typ)%len(types)], Class: dnsmessage.ClassINET}
	}
	q := ask(0)
	good := dnsmessage.Message{Header: dnsmessage.Header{ID: 77, Response: true}, Questions: []dnsmessage.Question{q},
		Answers: []dnsmessage.Resource{txt("info.test.", "yes")}}
	b, err := good.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, typ uint8) {
		q := ask(typ)
		m := parseDNS(b, 77, q)
		if m == nil {
			return
		}
		list := answering(q, m.Answers)
		r := response{header: dnsmessage.Header{ID: 1, Response: true}, question: &q, outcome: outcome{answers: list}}
		msg := r.message(maxUDPAnswer)
		if msg == nil {
			return // a name that can't be written again: the client gets nothing
		}
		var got dnsmessage.Message
		if err := got.Unpack(msg); err != nil || len(msg) > maxUDPAnswer {
			t.Fatalf("%v, %d bytes: %x", err, len(msg), msg)
		}
		for _, a := range got.Answers {
			if a.Header.Type != q.Type && a.Header.Type != dnsmessage.TypeCNAME || a.Header.TTL > maxTTL || a.Header.Class != dnsmessage.ClassINET {
				t.Errorf("%+v", a)
			}
		}
	})
}

// FuzzRequest: whatever bytes are sent, nothing but the one allowed request reaches any upstream.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"POST /v1/charges HTTP/1.1\r\nHost: api.test:8080\r\nContent-Length: 3\r\n\r\na=1",
		"POST /v1/charges HTTP/1.1\r\nHost: api.test:8080\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n" + hidden,
		"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", wsHead + "\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	w := newWorld(f, config{rules: []string{"POST http://api.test:8080/v1/charges"}})
	f.Fuzz(func(t *testing.T, b []byte, evil bool) {
		to := "api.test:8080"
		if evil {
			to = "evil.test:8080"
		}
		c, err := w.dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write(b)
		c.CloseWrite()
		io.Copy(io.Discard, c)
		w.up.mu.Lock()
		got := w.up.received
		w.up.received, w.up.headers = nil, nil
		w.up.mu.Unlock()
		for _, r := range got {
			if target, _, _ := strings.Cut(r, "?"); strings.TrimSuffix(target, " | api.test:8080") != "POST /v1/charges" || !strings.HasSuffix(r, " | api.test:8080") {
				t.Errorf("%q made the upstream receive %q", b, r)
			}
		}
	})
}
