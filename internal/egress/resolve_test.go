package egress

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// nameServer is a DNS server outside, at one port of UDP and TCP.
type nameServer struct {
	addr netip.AddrPort
	// answer changes the response, which has no answers yet; false: none is sent.
	answer func(m *dnsmessage.Message, network string) bool

	mu    sync.Mutex
	asked []string // TYPE name/network
	raw   [][]byte
}

func newNameServer(t *testing.T, answer func(m *dnsmessage.Message, network string) bool) *nameServer {
	t.Helper()
	n := &nameServer{answer: answer}
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	n.addr = u.LocalAddr().(*net.UDPAddr).AddrPort()
	l, err := net.Listen("tcp4", n.addr.String())
	if err != nil {
		t.Skip("the port is taken for TCP")
	}
	t.Cleanup(func() { u.Close(); l.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			k, from, err := u.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if b := n.respond(buf[:k], "udp"); b != nil {
				u.WriteToUDPAddrPort(b, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			if readFull(c, size[:]) == nil {
				b := make([]byte, binary.BigEndian.Uint16(size[:]))
				if readFull(c, b) == nil {
					b = n.respond(b, "tcp")
					c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
				}
			}
			c.Close()
		}
	}()
	return n
}

func (n *nameServer) respond(query []byte, network string) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	n.mu.Lock()
	n.asked = append(n.asked, policy.DNSType(uint16(m.Questions[0].Type))+" "+m.Questions[0].Name.String()+"/"+network)
	n.raw = append(n.raw, append([]byte(nil), query...))
	n.mu.Unlock()
	m.Response, m.Additionals = true, nil
	if !n.answer(&m, network) {
		return nil
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func (n *nameServer) got() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.asked, " ")
}

func txt(name, text string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: 86400},
		Body: &dnsmessage.TXTResource{TXT: []string{text}}}
}

// askFor asks a question of any type and gives the whole response.
func (w *world) askFor(typ, name string, limit int) dnsmessage.Message {
	w.tb.Helper()
	types := map[string]dnsmessage.Type{"TXT": dnsmessage.TypeTXT, "MX": dnsmessage.TypeMX, "SRV": dnsmessage.TypeSRV, "NAPTR": typeNAPTR,
		"PTR": dnsmessage.TypePTR, "ANY": dnsmessage.TypeALL, "NULL": 10, "CAA": 257}
	var m dnsmessage.Message
	if err := m.Unpack(w.sandbox.answer(question(w.tb, name, types[typ], dnsmessage.ClassINET), limit)); err != nil {
		w.tb.Fatal(err)
	}
	return m
}

// TestDNSByRule: what a rule allows is asked outside, in one spelling, and only what answers it comes back.
func TestDNSByRule(t *testing.T) {
	srv := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("_mongodb._tcp.db.test."), Class: dnsmessage.ClassINET, TTL: 60},
		Body: &dnsmessage.SRVResource{Port: 27017, Target: dnsmessage.MustNewName("shard-0.db.test.")}}
	alias := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("info.test."), Class: dnsmessage.ClassINET, TTL: 60},
		Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("elsewhere.test.")}}
	other := txt("info.test.", "of another class")
	other.Header.Class = dnsmessage.ClassCHAOS
	n := newNameServer(t, func(m *dnsmessage.Message, _ string) bool {
		m.Authoritative, m.AuthenticData = true, true
		m.Answers = []dnsmessage.Resource{txt("elsewhere.test.", "yes"), alias, srv, other, txt("evil.test.", "no")}
		m.Additionals = []dnsmessage.Resource{txt("more.test.", "no")}
		m.Authorities = m.Additionals
		return true
	})
	w := newWorld(t, config{rules: []string{"dns TXT info.test", "dns SRV _mongodb._tcp.db.test", charge}, resolvers: []netip.AddrPort{n.addr}})
	m := w.askFor("TXT", "INFO.test.", maxUDPAnswer)
	if len(m.Answers) != 2 || m.RCode != 0 || len(m.Authorities)+len(m.Additionals) != 0 || m.Authoritative || m.Questions[0].Name.String() != "INFO.test." {
		t.Fatalf("%+v", m)
	}
	if text, ok := m.Answers[1].Body.(*dnsmessage.TXTResource); !ok || text.TXT[0] != "yes" || m.Answers[1].Header.TTL != maxTTL {
		t.Errorf("%+v", m.Answers[1])
	}
	if m = w.askFor("SRV", "_mongodb._tcp.db.test.", maxUDPAnswer); len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.SRVResource).Port != 27017 {
		t.Errorf("%+v", m)
	}
	if n.got() != "TXT info.test./udp SRV _mongodb._tcp.db.test./udp" {
		t.Errorf("outside were asked: %s", n.got())
	}
	list := w.records.of(record.Allow, "")
	if len(list) != 2 || list[0].Kind != "dns" || list[0].Target != "TXT INFO.test" || list[0].Nearest != `"TXT info.test"` || list[0].Rule != "weir.toml:1" {
		t.Errorf("%+v", list)
	}
	// What came back as a target is a name like any other.
	for _, typ := range []string{"SRV", "TXT"} {
		if m := w.askFor(typ, "shard-0.db.test.", maxUDPAnswer); m.RCode != dnsmessage.RCodeRefused {
			t.Errorf("%s: %+v", typ, m)
		}
	}
	if resp, _ := w.do(w.client(false), "GET", "https://shard-0.db.test/", ""); resp.StatusCode != 403 {
		t.Errorf("a target of an answer may be called: %d", resp.StatusCode)
	}
}

// TestDNSCarriesNothingOut: neither the name, nor its spelling, nor anything beside the question.
func TestDNSCarriesNothingOut(t *testing.T) {
	n := newNameServer(t, func(*dnsmessage.Message, string) bool { return true })
	w := newWorld(t, config{rules: []string{"dns TXT info.test", "dns TXT *.wild.test"}, resolvers: []netip.AddrPort{n.addr}})
	for _, name := range []string{"c2VjcmV0.info.test.", "info.test.evil.test.", "xinfo.test.", "a.b.wild.test.", "wild.test.", "."} {
		if m := w.askFor("TXT", name, maxUDPAnswer); m.RCode != dnsmessage.RCodeRefused {
			t.Errorf("%s: %v", name, m.RCode)
		}
	}
	for _, typ := range []string{"MX", "ANY", "NULL", "SRV"} {
		if m := w.askFor(typ, "info.test.", maxUDPAnswer); m.RCode != dnsmessage.RCodeRefused {
			t.Errorf("%s: %v", typ, m.RCode)
		}
	}
	d := w.denied("MX", func(d record.Decision) bool { return d.Target == "MX info.test" })
	if d.Nearest != `"TXT info.test"` || d.Fix != `dns = ["MX info.test"]` || d.Reason != "no rule for this name has this type of question" {
		t.Errorf("%+v", d)
	}
	if got := n.got(); got != "" {
		t.Fatalf("outside were asked: %s", got)
	}
	var plain int
	for _, spelling := range []string{"info.test.", "InFo.TeSt.", "INFO.TEST."} {
		q := append(question(t, spelling, dnsmessage.TypeTXT, dnsmessage.ClassINET), []byte("\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x0bsecret data")...)
		q[11] = 1 // an OPT record
		w.sandbox.answer(q, maxUDPAnswer)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, q := range n.raw {
		if plain == 0 {
			plain = len(q)
		}
		if len(q) != plain || strings.Contains(string(q), "secret") || !strings.Contains(string(q), "info") || q[2] != 1 || q[3] != 0 {
			t.Errorf("outside came %q", q)
		}
	}
	if len(n.raw) != 3 {
		t.Errorf("%d questions", len(n.raw))
	}
}

// TestLongDNSAnswers: cut for a datagram, whole over TCP, refused beyond a bound.
func TestLongDNSAnswers(t *testing.T) {
	n := newNameServer(t, func(m *dnsmessage.Message, network string) bool {
		name := m.Questions[0].Name.String()
		count := map[string]int{"long.test.": 20, "huge.test.": 200}[name]
		if network == "udp" {
			m.Truncated = true
			return true
		}
		for i := range count {
			m.Answers = append(m.Answers, txt(name, fmt.Sprint(i, strings.Repeat("x", 100))))
		}
		return true
	})
	w := newWorld(t, config{rules: []string{"dns TXT long.test", "dns TXT huge.test"}, resolvers: []netip.AddrPort{n.addr}})
	if m := w.askFor("TXT", "long.test.", maxUDPAnswer); !m.Truncated || len(m.Answers) != 0 {
		t.Errorf("%+v", m)
	}
	if m := w.askFor("TXT", "long.test.", maxAnswer); m.Truncated || len(m.Answers) != 20 {
		t.Errorf("%+v", m)
	}
	if m := w.askFor("TXT", "huge.test.", maxAnswer); m.RCode != dnsmessage.RCodeServerFailure {
		t.Errorf("%+v", m.Header)
	}
}

// TestForgedDNSAnswers: what doesn't fit the question is not taken; the next server is asked.
func TestForgedDNSAnswers(t *testing.T) {
	forged := []func(m *dnsmessage.Message){
		func(m *dnsmessage.Message) { m.ID++ },
		func(m *dnsmessage.Message) { m.Response = false },
		func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("evil.test.") },
		func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeMX },
		func(m *dnsmessage.Message) { m.Questions = nil },
		func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure },
		func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeRefused },
	}
	good := newNameServer(t, func(m *dnsmessage.Message, _ string) bool {
		m.Answers = []dnsmessage.Resource{txt("info.test.", "true")}
		return true
	})
	var all sync.WaitGroup
	defer all.Wait() // each waits for the true answer for a while
	for i, f := range forged {
		bad := newNameServer(t, func(m *dnsmessage.Message, _ string) bool {
			m.Answers = []dnsmessage.Resource{txt("info.test.", "forged")}
			f(m)
			return true
		})
		w := newWorld(t, config{rules: []string{"dns TXT info.test"}, resolvers: []netip.AddrPort{bad.addr, good.addr}})
		all.Go(func() {
			var m dnsmessage.Message
			err := m.Unpack(w.sandbox.answer(question(t, "info.test.", dnsmessage.TypeTXT, dnsmessage.ClassINET), maxUDPAnswer))
			if err != nil || len(m.Answers) != 1 || m.Answers[0].Body.(*dnsmessage.TXTResource).TXT[0] != "true" {
				t.Errorf("%d: %+v %v", i, m, err)
			}
		})
	}
	missing := newNameServer(t, func(m *dnsmessage.Message, _ string) bool { m.RCode = dnsmessage.RCodeNameError; return true })
	w := newWorld(t, config{rules: []string{"dns TXT info.test"}, resolvers: []netip.AddrPort{missing.addr, good.addr}})
	if m := w.askFor("TXT", "info.test.", maxUDPAnswer); m.RCode != dnsmessage.RCodeNameError {
		t.Errorf("%+v", m)
	}
}

// TestSlowDNSHoldsNothingUp: while a server is silent, addresses are answered; and only so many wait.
func TestSlowDNSHoldsNothingUp(t *testing.T) {
	n := newNameServer(t, func(*dnsmessage.Message, string) bool { return false })
	w := newWorld(t, config{rules: []string{"dns TXT info.test", charge}, resolvers: []netip.AddrPort{n.addr}})
	c, err := net.Dial("udp", w.dnsAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range maxAsking {
		c.Write(question(t, "info.test.", dnsmessage.TypeTXT, dnsmessage.ClassINET))
	}
	if _, err := w.resolver().LookupNetIP(context.Background(), "ip4", "api.test."); err != nil {
		t.Error(err)
	}
	eventually(t, "the questions", func() bool { return len(w.sandbox.asking) == maxAsking })
	if m := w.askFor("TXT", "info.test.", maxUDPAnswer); m.RCode != dnsmessage.RCodeServerFailure {
		t.Errorf("one too many: %+v", m.Header)
	}
	w.sandbox.Close() // ends those that wait
	eventually(t, "the end", func() bool { return len(w.sandbox.asking) == 0 })
}

// TestMonitoredDNS: other types are asked outside and recorded, but those that no rule could allow, and
// the names of machines inside.
func TestMonitoredDNS(t *testing.T) {
	n := newNameServer(t, func(m *dnsmessage.Message, _ string) bool {
		m.Answers = []dnsmessage.Resource{txt(m.Questions[0].Name.String(), "x")}
		return true
	})
	w := monitorWorld(t, config{rules: []string{"dns PTR 1.0.0.10.in-addr.arpa"}, resolvers: []netip.AddrPort{n.addr}})
	if m := w.askFor("TXT", "any.test.", maxUDPAnswer); len(m.Answers) != 1 {
		t.Errorf("%+v", m)
	}
	if d := w.monitoredAs("dns", "TXT any.test"); d.Fix != `dns = ["TXT any.test"]` {
		t.Errorf("%+v", d)
	}
	for _, q := range []string{"ANY any.test.", "NULL any.test.", "PTR 2.0.0.10.in-addr.arpa.", "PTR 0.0.10.in-addr.arpa.",
		"PTR 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", "TXT 254.169.254.169.in-addr.arpa."} {
		typ, name, _ := strings.Cut(q, " ")
		if m := w.askFor(typ, name, maxUDPAnswer); m.RCode != dnsmessage.RCodeRefused {
			t.Errorf("%s: %+v", q, m)
		}
	}
	w.askFor("PTR", "1.0.0.10.in-addr.arpa.", maxUDPAnswer) // named
	w.askFor("PTR", "8.8.8.8.in-addr.arpa.", maxUDPAnswer)
	if got := n.got(); got != "TXT any.test./udp PTR 1.0.0.10.in-addr.arpa./udp PTR 8.8.8.8.in-addr.arpa./udp" {
		t.Errorf("outside were asked: %s", got)
	}
}

func TestReversed(t *testing.T) {
	for name, want := range map[string]string{
		"4.3.2.1.in-addr.arpa": "1.2.3.4", "3.2.1.in-addr.arpa": "invalid IP", "in-addr.arpa": "invalid IP", "x.arpa": "invalid IP",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": "2001:db8::1", "arpa": "none", "example.com": "none",
	} {
		got := "none"
		if a, ok := reversed(name); ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestSelfContained(t *testing.T) {
	for data, want := range map[string]bool{
		"\x00\x01\x00\x02\x01s\x03sip\x00\x01a\x00": true, "\x00\x01\x00\x02\x00\x00\x00\x00": true,
		"\x00\x01\x00\x02\x01s\x03sip\x00\xc0\x0c": false, "\x00\x01\x00\x02\x01s\x03sip\x00\x01a\x00x": false,
		"\x00\x01\x00\x02\x00\x00\x00": false, "\x00\x01\x00\x02\xff": false, "": false, "\x00\x01\x00\x02\x00\x00\x00\x05a": false,
	} {
		if got := selfContained(&dnsmessage.UnknownResource{Type: typeNAPTR, Data: []byte(data)}); got != want {
			t.Errorf("%q: %t", data, got)
		}
	}
	if !selfContained(&dnsmessage.UnknownResource{Type: 257, Data: []byte("\xc0\x0c")}) {
		t.Error("CAA holds no name")
	}
}

func TestSystemResolvers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("# x\nsearch corp.test\nnameserver 10.0.0.53\nnameserver fd00::53\nnameserver nonsense\noptions edns0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(systemResolvers(file)); got != "[10.0.0.53:53 [fd00::53]:53]" {
		t.Error(got)
	}
	if got := fmt.Sprint(systemResolvers(file + ".missing")); got != "[127.0.0.1:53]" {
		t.Error(got)
	}
}
