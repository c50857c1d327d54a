package sandbox

// Everything that leaves a sandbox is caught, or goes nowhere.

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
)

// dial connects to each place in turn and prints a JSON object of what came back.
const dial = `
const net = require('net');
(async () => {
	const out = {};
	for (const [name, options] of Object.entries(PLACES)) {
		out[name] = await new Promise((resolve) => {
			let text = '';
			const c = net.connect(options);
			c.on('data', (d) => text += d).on('end', () => resolve(text)).on('error', (e) => resolve(e.code));
		});
	}
	console.log(JSON.stringify(out));
})();`

func dialed(t *testing.T, l *Launcher, places string, change func(*Spec)) map[string]string {
	t.Helper()
	s := nodeSpec(t, "const PLACES = "+places+";"+dial)
	if change != nil {
		change(s)
	}
	p := start(t, l, s)
	echo(t, p)
	got := p.finish(t)
	out := map[string]string{}
	if err := json.Unmarshal([]byte(got.out), &out); err != nil {
		t.Fatalf("%v: %s %+v", err, got.out, got.exit)
	}
	return out
}

func TestEveryConnectionIsCaught(t *testing.T) {
	// A service of the host's on its loopback address must not be reached.
	host, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	port := host.Addr().(*net.TCPAddr).Port
	got := dialed(t, launcher(t, Options{}), fmt.Sprintf(`{
		web: { host: '203.0.113.9', port: 443 }, odd: { host: '203.0.113.9', port: 54321 },
		low: { host: '203.0.113.9', port: 1 }, dns: { host: '8.8.8.8', port: 53 },
		metadata: { host: '169.254.169.254', port: 80 }, private: { host: '10.1.2.3', port: 5432 },
		v6: { host: '2001:db8::9', port: 443 }, mapped: { host: '::ffff:203.0.113.9', port: 22 },
		linklocal: { host: 'fe80::1%%lo', port: 443 }, nat64: { host: '64:ff9b::a00:1', port: 443 },
		compat: { host: '::127.0.0.1', port: 443 },
		fromLoopback: { host: '203.0.113.9', port: 80, localAddress: '127.0.0.1' },
		loopback: { host: '127.0.0.1', port: %d }, other: { host: '127.8.9.10', port: %[1]d },
		zero: { host: '0.0.0.0', port: %[1]d }, loopback6: { host: '::1', port: %[1]d },
		any6: { host: '::', port: %[1]d }, mappedLoopback: { host: '::ffff:127.0.0.1', port: %[1]d },
		multicast: { host: '224.0.0.1', port: 80 }, broadcast: { host: '255.255.255.255', port: 80 },
	}`, port), nil)
	for name, want := range map[string]string{
		"web": "caught 203.0.113.9:443", "odd": "caught 203.0.113.9:54321", "low": "caught 203.0.113.9:1",
		"dns": "caught 8.8.8.8:53", "metadata": "caught 169.254.169.254:80", "private": "caught 10.1.2.3:5432",
		"v6": "caught [2001:db8::9]:443", "mapped": "caught 203.0.113.9:22", "linklocal": "caught [fe80::1]:443",
		"nat64": "caught [64:ff9b::a00:1]:443", "compat": "caught [::127.0.0.1]:443|caught [::7f00:1]:443",
		"fromLoopback": "caught 203.0.113.9:80",
		"loopback":     "ECONNREFUSED", "other": "ECONNREFUSED", "zero": "ECONNREFUSED", "loopback6": "ECONNREFUSED",
		"any6": "ECONNREFUSED", "mappedLoopback": "ECONNREFUSED",
		"multicast": "ENETUNREACH|EINVAL", "broadcast": "ENETUNREACH|EACCES|EINVAL",
	} {
		if !strings.Contains("|"+want+"|", "|"+got[name]+"|") {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
}

// TestDataInTheFirstSegment: TCP Fast Open sends without connect().
func TestDataInTheFirstSegment(t *testing.T) {
	p := start(t, launcher(t, Options{}), probeSpec(t, "fastopen"))
	caught := make(chan string, 1)
	go func() {
		c, err := p.TCP()[0].Accept()
		if err != nil {
			return
		}
		b := make([]byte, 16)
		n, _ := c.Read(b)
		caught <- string(b[:n]) + " to " + c.LocalAddr().String()
		c.Close()
	}()
	got := p.finish(t)
	select {
	case c := <-caught:
		if c != "fast to 203.0.113.9:8080" {
			t.Errorf("caught %q", c)
		}
	default:
		if !strings.Contains(got.out, "fastopen E") {
			t.Errorf("neither caught nor refused: %s", got.out)
		}
	}
}

// TestLoopbackBelongsToTheFunction: its own servers work, but on the ports that a policy names.
func TestLoopbackBelongsToTheFunction(t *testing.T) {
	for _, anyPorts := range []bool{false, true} {
		s := nodeSpec(t, `
		const net = require('net'), dgram = require('dgram');
		const ask = (o) => new Promise((resolve) => {
			let text = '';
			net.connect(o).on('data', (d) => text += d).on('end', () => resolve(text)).on('error', (e) => resolve(e.code));
		});
		net.createServer((c) => c.end('own')).listen(8080, async () => {
			const u = dgram.createSocket('udp4');
			u.on('message', async (m) => {
				console.log([String(m), await ask({ host: '127.0.0.1', port: 8080 }), await ask({ host: '::1', port: 8080 }),
					await ask({ host: '127.0.0.1', port: 5432 }), await ask({ host: '::1', port: 5432 })].join(' '));
				process.exit();
			});
			u.bind(9999, '127.0.0.1', () => u.send('hello', 9999, '127.0.0.1'));
		});`)
		s.Loopback = []uint16{5432}
		p := start(t, launcher(t, Options{AnyPorts: anyPorts}), s)
		echo(t, p)
		got := p.finish(t)
		if want := "hello own own caught 127.0.0.1:5432 caught [::1]:5432\n"; got.out != want {
			t.Errorf("anyports %t: %q, want %q", anyPorts, got.out, want)
		}
	}
}

// TestAnyPorts: without nftables, named ports are caught and others go nowhere.
func TestAnyPorts(t *testing.T) {
	got := dialed(t, launcher(t, Options{AnyPorts: true}), `{
		web: { host: '203.0.113.9', port: 443 }, http: { host: '2001:db8::9', port: 80 },
		named: { host: '10.1.2.3', port: 5432 }, other: { host: '203.0.113.9', port: 4444 },
		dns: { host: '8.8.8.8', port: 53 },
	}`, func(s *Spec) { s.Ports = []uint16{5432, 443} })
	for name, want := range map[string]string{
		"web": "caught 203.0.113.9:443", "http": "caught [2001:db8::9]:80", "named": "caught 10.1.2.3:5432",
		"dns": "caught 8.8.8.8:53", "other": "ECONNREFUSED",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if w := findWall(t, launcher(t, Options{AnyPorts: true}), "network capture"); w.State != Fallback {
		t.Errorf("%+v", w)
	}
}

func findWall(t *testing.T, l *Launcher, name string) Wall {
	t.Helper()
	for _, w := range l.Walls() {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("no wall %q in %+v", name, l.Walls())
	return Wall{}
}

// TestManyPorts: more listeners than fit into one message.
func TestManyPorts(t *testing.T) {
	ports := make([]uint16, 300)
	for i := range ports {
		ports[i] = uint16(20000 + i)
	}
	got := dialed(t, launcher(t, Options{AnyPorts: true}), `{ last: { host: '203.0.113.9', port: 20299 } }`,
		func(s *Spec) { s.Ports = ports })
	if got["last"] != "caught 203.0.113.9:20299" {
		t.Errorf("%v", got)
	}
}

// answerDNS answers every question with the same addresses.
func answerDNS(p *running) {
	for _, c := range p.DNS() {
		go func() {
			b := make([]byte, 512)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				c.WriteTo(dnsAnswer(b[:n]), from)
			}
		}()
	}
}

// dnsAnswer turns a question into an answer: 198.18.0.7 or 2001:db8::7.
func dnsAnswer(q []byte) []byte {
	end := 12
	for end < len(q) && q[end] != 0 {
		end += int(q[end]) + 1
	}
	end += 5 // the root label, type and class
	a := append([]byte{}, q[:end]...)
	a[2], a[3] = 0x81, 0x80                 // response, recursion available
	copy(a[6:12], []byte{0, 1, 0, 0, 0, 0}) // one answer, nothing else
	data := []byte{198, 18, 0, 7}
	if qtype := binary.BigEndian.Uint16(q[end-4:]); qtype == 28 {
		data = net.ParseIP("2001:db8::7")
	}
	a = append(a, 0xc0, 12)
	a = append(a, q[end-4:end]...)
	a = append(a, 0, 0, 0, 1, 0, byte(len(data)))
	return append(a, data...)
}

// TestDNS: questions to any address arrive, and answers leave from there, so that resolvers that
// connect their socket take them.
func TestDNS(t *testing.T) {
	for _, anyPorts := range []bool{false, true} {
		s := nodeSpec(t, `
		const dns = require('dns').promises;
		(async () => {
			const out = [(await dns.lookup('libc.test', { family: 4 })).address, (await dns.lookup('libc.test', { family: 6 })).address];
			for (const server of ['8.8.8.8', '127.0.0.1', '[2001:4860:4860::8888]', '[::1]']) {
				const r = new dns.Resolver({ timeout: 2000, tries: 1 });
				r.setServers([server]);
				out.push((await r.resolve4('cares.test'))[0]);
			}
			console.log(out.join(' '));
		})().catch((e) => console.log(e));`)
		p := start(t, launcher(t, Options{AnyPorts: anyPorts}), s)
		answerDNS(p)
		got := p.finish(t)
		if want := "198.18.0.7 2001:db8::7" + strings.Repeat(" 198.18.0.7", 4) + "\n"; got.out != want {
			t.Errorf("anyports %t: %s, want %s", anyPorts, got.out, want)
		}
	}
}

func TestDNSSocketTakesOnlyItsOwnAddresses(t *testing.T) {
	p := start(t, launcher(t, Options{}), nodeSpec(t, "setInterval(() => {}, 1000)"))
	if _, err := p.DNS()[0].WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}); err == nil {
		t.Error("an address from elsewhere was taken")
	}
}
