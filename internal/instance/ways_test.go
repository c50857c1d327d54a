package instance

// The ways out that have no HTTP, tried from inside a real sandbox against a real outside.

import (
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// outside is a host that answers datagrams with what they hold, greets whoever connects, and a name server
// that has one text for every name.
type outside struct {
	udp, dns *net.UDPConn
	tcp      net.Listener
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{}
	for _, c := range []**net.UDPConn{&o.udp, &o.dns} {
		var err error
		if *c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*c).Close() })
	}
	serve := func(c *net.UDPConn, answer func([]byte) []byte) {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(answer(buf[:n]), from)
		}
	}
	go serve(o.udp, func(b []byte) []byte { return b })
	go serve(o.dns, func(b []byte) []byte {
		var m dnsmessage.Message
		if m.Unpack(b) != nil {
			return nil
		}
		m.Response = true
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
			Body: &dnsmessage.TXTResource{TXT: []string{"text"}}}}
		b, _ = m.Pack()
		return b
	})
	var err error
	if o.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.tcp.Close() })
	go func() {
		for {
			c, err := o.tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				io.WriteString(c, "220 ready")
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return o
}

// options send the names of the tests to the outside.
func (o *outside) options(t *testing.T) egress.Options {
	t.Helper()
	opts := egress.Options{Resolvers: []netip.AddrPort{o.dns.LocalAddr().(*net.UDPAddr).AddrPort()}}
	for _, r := range []string{"stats.test=" + o.udp.LocalAddr().String(), "evil.test:25=" + o.tcp.Addr().String(), "evil.test=" + o.udp.LocalAddr().String()} {
		ov, err := egress.ParseOverride(r)
		if err != nil {
			t.Fatal(err)
		}
		opts.Resolve = append(opts.Resolve, ov)
	}
	return opts
}

const ways = `const dgram = require('dgram'), dns = require('dns').promises, net = require('net');
const send = (host, port, o = {}) => new Promise((resolve) => {
	const s = dgram.createSocket('udp4');
	const text = o.text ?? 'hello';
	const end = (x) => { s.close(); resolve(x); };
	s.on('message', (m) => end(String(m) === text ? 'answered' : 'changed'));
	s.on('error', (e) => end(e.code));
	const sent = (e) => e && end(e.code);
	s.bind(0, o.from, () => { if (o.connect) s.connect(port, host, () => s.send(text, sent)); else s.send(text, port, host, sent); });
	setTimeout(() => { try { end('silence'); } catch {} }, 1500);
});
const txt = (name) => dns.resolveTxt(name).then((r) => r[0][0], (e) => e.code);
const hear = (host, port) => new Promise((resolve) => {
	const c = net.connect({ host, port });
	c.on('data', (d) => { c.destroy(); resolve(String(d)); }).on('error', (e) => resolve(e.code)).on('end', () => resolve('end'));
});
exports.handler = async () => {
	const out = {};
	await Promise.all(Object.entries(TRIES).map(async ([name, f]) => { out[name] = await f(); }));
	return out;
};
`

// tryWays invokes a function that tries each way and checks what came of them.
func tryWays(t *testing.T, o *outside, pol *policy.Policy, tries string, want map[string]string) []record.Decision {
	t.Helper()
	p := newPoolOf(t, 1, pol, "const TRIES = {"+tries+"};\n"+ways, o.options(t))
	res, _, err := p.Invoke(t.Context(), weir.Invocation{ID: "r", Function: "f", Event: json.RawMessage("{}")})
	got := map[string]string{}
	if err != nil || json.Unmarshal(res.Payload, &got) != nil {
		t.Fatalf("%s %v %+v", res.Payload, err, res.Error)
	}
	for name := range want {
		if !strings.Contains("|"+want[name]+"|", "|"+got[name]+"|") {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
	return p.cfg.Recorder.(*record.Memory).Decisions()
}

func has(list []record.Decision, v record.Verdict, mode, kind, target string) bool {
	for _, d := range list {
		if d.Verdict == v && d.Mode == mode && d.Kind == kind && d.Target == target && d.Request == "r" && !d.Import {
			return true
		}
	}
	return false
}

func TestWaysOutByRule(t *testing.T) {
	got := tryWays(t, newOutside(t), &policy.Policy{Function: "f", Source: "weir.toml", Rules: []policy.Rule{
		{Kind: policy.UDP, Pattern: "stats.test:8125"}, {Kind: policy.DNS, Pattern: "TXT info.test"}}}, `
	plain: () => send('stats.test', 8125), connected: () => send('stats.test', 8125, { connect: true }),
	long: () => send('stats.test', 8125, { text: 'x'.repeat(60000) }),
	spoofed: () => send('stats.test', 8125, { from: '8.8.8.8' }),
	other: () => send('evil.test', 8125), quic: () => send('stats.test', 443), quicConnected: () => send('other.test', 443, { connect: true }), metadata: () => send('169.254.169.254', 8125),
	multicast: () => send('224.0.0.251', 8125),
	txt: () => txt('info.test'), below: () => txt('secret.info.test'), loud: () => txt('INFO.test'),
	`, map[string]string{"plain": "answered", "connected": "answered", "long": "answered", "spoofed": "answered",
		"other": "silence", "quic": "EWEIR", "quicConnected": "EWEIR", "metadata": "silence", "multicast": "silence|EPERM|ENETUNREACH|EINVAL",
		"txt": "text", "below": "EWEIR", "loud": "text"})
	for _, want := range [][3]string{{"allow", "udp", "stats.test:8125"}, {"deny", "udp", "evil.test:8125"}, {"deny", "udp", "169.254.169.254:8125"},
		{"deny", "udp", "stats.test:443"}, {"deny", "udp", "other.test:443"},
		{"allow", "dns", "TXT info.test"}, {"deny", "dns", "TXT secret.info.test"}} {
		if !has(got, record.Verdict(want[0]), "", want[1], want[2]) {
			t.Errorf("no record %v in %+v", want, got)
		}
	}
}

func TestWaysOutMonitored(t *testing.T) {
	got := tryWays(t, newOutside(t), &policy.Policy{Function: "f", Source: "weir.toml", Mode: policy.Monitor, Rules: []policy.Rule{
		{Kind: policy.UDP, Pattern: "stats.test:8125"}}}, `
	named: () => send('stats.test', 8125), other: () => send('evil.test', 9999, { connect: true }),
	long: () => send('evil.test', 9998, { text: 'x'.repeat(60000) }), spoofed: () => send('evil.test', 443, { from: '8.8.8.8' }),
	metadata: () => send('169.254.169.254', 80), greeting: () => hear('evil.test', 25), inside: () => hear('169.254.169.254', 22),
	loopback: () => hear('127.0.0.1', 22), txt: () => txt('any.test'),
	`, map[string]string{"named": "answered", "other": "answered", "long": "answered", "spoofed": "answered", "metadata": "silence",
		"greeting": "220 ready", "inside": "EWEIR", "loopback": "ECONNREFUSED", "txt": "text"})
	for _, want := range [][2]string{{"udp", "evil.test:9999"}, {"udp", "evil.test:443"}, {"tcp", "evil.test:25"}, {"dns", "TXT any.test"}} {
		if !has(got, record.Deny, record.Monitor, want[0], want[1]) {
			t.Errorf("no record %v in %+v", want, got)
		}
	}
	for _, want := range [][2]string{{"udp", "169.254.169.254:80"}, {"tcp", "169.254.169.254:22"}} {
		if !has(got, record.Deny, "", want[0], want[1]) {
			t.Errorf("no record of the refusal of %v in %+v", want, got)
		}
	}
	if !has(got, record.Allow, "", "udp", "stats.test:8125") {
		t.Errorf("what a rule allows is not recorded as that: %+v", got)
	}
}
