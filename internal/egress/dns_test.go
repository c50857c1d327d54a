package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/internal/record"
)

// question builds a query.
func question(tb testing.TB, name string, typ dnsmessage.Type, class dnsmessage.Class) []byte {
	tb.Helper()
	n, err := dnsmessage.NewName(name)
	if err != nil {
		tb.Fatal(err)
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 77, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: typ, Class: class}}}
	b, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// ask asks the sandbox's DNS and gives the response's code and addresses.
func (w *world) ask(name string, typ dnsmessage.Type) (dnsmessage.RCode, []netip.Addr) {
	w.tb.Helper()
	return parseAnswer(w.tb, w.sandbox.answer(question(w.tb, name, typ, dnsmessage.ClassINET), maxUDPAnswer))
}

func parseAnswer(tb testing.TB, b []byte) (dnsmessage.RCode, []netip.Addr) {
	tb.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		tb.Fatalf("%v: %x", err, b)
	}
	if !m.Response || m.ID != 77 {
		tb.Errorf("odd response: %+v", m.Header)
	}
	var list []netip.Addr
	for _, a := range m.Answers {
		if a.Header.TTL == 0 || a.Header.TTL > 300 {
			tb.Errorf("TTL %d", a.Header.TTL)
		}
		switch r := a.Body.(type) {
		case *dnsmessage.AResource:
			list = append(list, netip.AddrFrom4(r.A))
		case *dnsmessage.AAAAResource:
			list = append(list, netip.AddrFrom16(r.AAAA))
		}
	}
	return m.RCode, list
}

func TestDNSAnswersInside(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}, noResolve: true}) // its lookup fails the test's requests
	code, v4 := w.ask("API.test.", dnsmessage.TypeA)
	if code != 0 || len(v4) != 1 || !fakeV4.Contains(v4[0]) {
		t.Fatalf("%v %v", code, v4)
	}
	_, v6s := w.ask("api.test.", dnsmessage.TypeAAAA)
	if len(v6s) != 1 || !fakeV6.Contains(v6s[0]) {
		t.Fatalf("%v", v6s)
	}
	for _, a := range []netip.Addr{v4[0], v6s[0]} {
		if name, fake := w.sandbox.names.name(a); name != "api.test" || !fake {
			t.Errorf("%s is %q", a, name)
		}
	}
	if _, other := w.ask("data.in.a.name.evil.test.", dnsmessage.TypeA); len(other) != 1 || other[0] == v4[0] {
		t.Errorf("%v", other)
	}
	for typ, want := range map[dnsmessage.Type]string{dnsmessage.TypeA: "[127.0.0.1]", dnsmessage.TypeAAAA: "[::1]"} {
		if _, list := w.ask("localhost.", typ); fmt.Sprint(list) != want {
			t.Errorf("localhost: %v", list)
		}
	}
	if d := w.records.all(); len(d) != 0 {
		t.Errorf("%+v", d)
	}
	w.sandbox.ipv6.Store(false)
	if code, list := w.ask("api.test.", dnsmessage.TypeAAAA); code != 0 || list != nil {
		t.Errorf("AAAA without IPv6: %v %v", code, list)
	}
}

func TestDNSRefusals(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	for _, typ := range []dnsmessage.Type{dnsmessage.TypeTXT, dnsmessage.TypeMX, dnsmessage.TypeNS, dnsmessage.TypeSRV, dnsmessage.TypeCNAME,
		dnsmessage.TypePTR, dnsmessage.TypeSOA, dnsmessage.TypeALL, dnsmessage.TypeAXFR, 10, 999} {
		for range 3 { // clients ask again
			if code, list := w.ask("c2VjcmV0.evil.test.", typ); code != dnsmessage.RCodeRefused || list != nil {
				t.Errorf("%v: %v %v", typ, code, list)
			}
		}
	}
	w.denied("TXT", func(d record.Decision) bool { return d.Kind == "dns" && d.Target == "TXT c2VjcmV0.evil.test" })
	if n := len(w.records.all()); n != 11 {
		t.Errorf("%d records of 11 questions", n)
	}
	for _, typ := range []dnsmessage.Type{typeHTTPS, typeSVCB} {
		if code, list := w.ask("api.test.", typ); code != 0 || list != nil {
			t.Errorf("%v: %v %v", typ, code, list)
		}
	}
	if code, _ := parseAnswer(t, w.sandbox.answer(question(t, "version.bind.", dnsmessage.TypeTXT, dnsmessage.ClassCHAOS), maxUDPAnswer)); code != dnsmessage.RCodeRefused {
		t.Errorf("class CHAOS: %v", code)
	}
	for _, name := range []string{".", "-a.test.", "127.0.0.1.", "0x7f.1.", "1.2.3.", "a b.test.", "a\x00b.test.", "é.test.", strings.Repeat("a", 62) + "-.", "2130706433."} {
		q := question(t, name, dnsmessage.TypeA, dnsmessage.ClassINET)
		if code, list := parseAnswer(t, w.sandbox.answer(q, maxUDPAnswer)); code != dnsmessage.RCodeNameError || list != nil {
			t.Errorf("%q: %v %v", name, code, list)
		}
	}
	for _, d := range w.records.all() {
		if len(d.Target) > 500 || strings.ContainsAny(d.Target, "\x00\n") {
			t.Errorf("%q", d.Target)
		}
	}
}

func TestDNSMalformed(t *testing.T) {
	w := newWorld(t, config{})
	q := question(t, "api.test.", dnsmessage.TypeA, dnsmessage.ClassINET)
	edit := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), q...)) }
	for name, c := range map[string]struct {
		msg  []byte
		want int // response code, -1 for silence
	}{
		"empty":         {nil, -1},
		"short":         {q[:11], -1},
		"a response":    {edit(func(b []byte) []byte { b[2] |= 0x80; return b }), -1},
		"opcode":        {edit(func(b []byte) []byte { b[2] |= 5 << 3; return b }), int(dnsmessage.RCodeNotImplemented)},
		"no question":   {edit(func(b []byte) []byte { b[5] = 0; return b }), int(dnsmessage.RCodeFormatError)},
		"cut":           {q[:len(q)-3], int(dnsmessage.RCodeFormatError)},
		"two questions": {edit(func(b []byte) []byte { b[5] = 2; return append(b, b[12:]...) }), int(dnsmessage.RCodeFormatError)},
		"pointer loop":  {edit(func(b []byte) []byte { return append(b[:12], 0xc0, 12, 0, 1, 0, 1) }), int(dnsmessage.RCodeFormatError)},
		"dot in label":  {edit(func(b []byte) []byte { b[13] = '.'; return b }), int(dnsmessage.RCodeFormatError)},
		"trailing junk": {append(append([]byte(nil), q...), "junk"...), 0},
	} {
		got := w.sandbox.answer(c.msg, maxUDPAnswer)
		if got == nil {
			if c.want != -1 {
				t.Errorf("%s: no answer", name)
			}
			continue
		}
		if code, _ := parseAnswer(t, got); int(code) != c.want {
			t.Errorf("%s: %v", name, code)
		}
	}
}

// TestDNSFlood: names beyond the cap are refused, with one record; names of rules still work.
func TestDNSFlood(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge, "GET https://*.wild.test/**"}})
	refused := 0
	for i := range maxOthers + 50 {
		if code, _ := w.ask(fmt.Sprintf("x%d.evil.test.", i), dnsmessage.TypeA); code == dnsmessage.RCodeRefused {
			refused++
		}
	}
	if refused != 50 || len(w.records.all()) != 1 {
		t.Errorf("%d refused, %d records", refused, len(w.records.all()))
	}
	for _, name := range []string{"api.test.", "a.wild.test.", "x7.evil.test."} {
		if code, list := w.ask(name, dnsmessage.TypeA); code != 0 || len(list) != 1 {
			t.Errorf("%s after the flood: %v", name, code)
		}
	}
	for i := range maxMatched + 5 {
		w.ask(fmt.Sprintf("y%d.wild.test.", i), dnsmessage.TypeA)
	}
	if n := len(w.sandbox.names.byName); n != maxOthers+maxMatched+1 {
		t.Errorf("%d names", n)
	}
	if code, _ := w.ask("api.test.", dnsmessage.TypeA); code != 0 {
		t.Errorf("api.test after both floods: %v", code)
	}
}

func TestNamesAreNeverReused(t *testing.T) {
	n := newNames()
	seen := map[netip.Addr]bool{}
	for i := range 3000 {
		a, ok := n.address(fmt.Sprint("n", i), pinned)
		b := a.As4()
		if !ok || seen[a] || b[3] == 0 || b[3] == 255 || !fakeV4.Contains(a) {
			t.Fatalf("%v %v", a, ok)
		}
		seen[a] = true
		if again, _ := n.address(fmt.Sprint("n", i), other); again != a {
			t.Fatal("a name changed its address")
		}
	}
	for n.next = 1<<17 - 300; ; {
		a, ok := n.address(fmt.Sprint("m", n.next), pinned)
		if !ok {
			break
		}
		if !fakeV4.Contains(a) {
			t.Fatalf("%v", a)
		}
	}
}

// TestDNSOverTCPAnywhere: port 53 of every address is the same server.
func TestDNSOverTCPAnywhere(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	for _, to := range []string{"203.0.113.66:53", "198.18.200.200:53", "evil.test:53"} {
		c := w.mustDial(to)
		for range 2 {
			q := question(t, "api.test.", dnsmessage.TypeA, dnsmessage.ClassINET)
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
			var size [2]byte
			if err := readFull(c, size[:]); err != nil {
				t.Fatalf("%s: %v", to, err)
			}
			b := make([]byte, binary.BigEndian.Uint16(size[:]))
			if err := readFull(c, b); err != nil {
				t.Fatal(err)
			}
			if code, list := parseAnswer(t, b); code != 0 || len(list) != 1 {
				t.Errorf("%s: %v %v", to, code, list)
			}
		}
		io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") // a length of 18245 bytes
		c.CloseWrite()
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("%s answered nonsense with %q", to, b)
		}
	}
	w.only()
}

// TestResolvers: Go's own resolver, as an example of a real one, fails fast where it must.
func TestResolvers(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if list, err := w.resolver().LookupNetIP(ctx, "ip", "api.test."); err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
	start := time.Now()
	var dnsErr *net.DNSError
	if list, err := w.resolver().LookupTXT(ctx, "secret.evil.test."); !errors.As(err, &dnsErr) {
		t.Errorf("TXT: %v %v", list, err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("TXT took %v", d)
	}
}
