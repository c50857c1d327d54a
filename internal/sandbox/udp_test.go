package sandbox

// Datagrams are captured where that is asked for, and nowhere else.

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// echoUDP answers every captured datagram with where it was sent to and what was in it.
func echoUDP(p *running) {
	for _, d := range p.UDP() {
		go func() {
			b := make([]byte, 64<<10)
			for {
				n, from, to, err := d.Receive(b)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					d.Reply(fmt.Appendf(nil, "%s %s", to, b[:n]), to, from)
				}
			}
		}()
	}
}

// datagrams sends to each place in turn, by a connected socket and by one that isn't, and prints what
// came back, or the error.
const datagrams = `
const dgram = require('dgram');
(async () => {
	for (const [host, port, connect] of PLACES) {
		const s = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
		const answer = await new Promise((resolve) => {
			s.on('message', (m, from) => resolve(from.address + ' ' + from.port + ' ' + m.toString().slice(0, 60) + ' ' + m.length));
			s.on('error', (e) => resolve(e.code));
			const sent = (e) => { if (e) resolve(e.code); };
			if (connect) s.connect(port, host, () => s.send(TEXT, sent)); else s.send(TEXT, port, host, sent);
			setTimeout(() => resolve('silence'), 1000);
		});
		s.close();
		console.log(answer);
	}
})();`

func sendDatagrams(t *testing.T, l *Launcher, places, text string, change func(*Spec)) string {
	t.Helper()
	s := nodeSpec(t, "const PLACES = "+places+", TEXT = "+text+";"+datagrams)
	change(s)
	p := start(t, l, s)
	echoUDP(p)
	answerDNS(p)
	return p.finish(t).out
}

const udpPlaces = `[['203.0.113.9', 8125, false], ['203.0.113.9', 8125, true], ['2001:db8::9', 8125, true], ['203.0.113.9', 443, true], ['2001:db8::9', 9999, false]]`

func TestDatagramsToNamedPorts(t *testing.T) {
	for _, anyPorts := range []bool{false, true} {
		got := sendDatagrams(t, launcher(t, Options{AnyPorts: anyPorts}), udpPlaces, "'hello'", func(s *Spec) { s.UDPPorts = []uint16{8125, 514} })
		v4, v6 := "203.0.113.9 8125 203.0.113.9:8125 hello 22\n", "2001:db8::9 8125 [2001:db8::9]:8125 hello 24\n"
		want := v4 + v4 + v6 + "EPERM\nEPERM\n"
		if anyPorts {
			want = v4 + v4 + v6 + "ECONNREFUSED\nsilence\n"
		}
		if got = strings.ReplaceAll(got, "EACCES", "EPERM"); got != want {
			t.Errorf("anyports %t:\n%swant\n%s", anyPorts, got, want)
		}
	}
}

// TestRefusedDatagramsAreToldOf: where to, each time, before the sandbox has ended, and of no others; without
// nftables, of none.
func TestRefusedDatagramsAreToldOf(t *testing.T) {
	for _, anyPorts := range []bool{false, true} {
		s := nodeSpec(t, "const PLACES = [['203.0.113.9', 443, false], ['2001:db8::9', 9999, true], ['127.0.0.1', 9999, false], ['203.0.113.9', 8125, false]], TEXT = 'x'.repeat(5000);"+datagrams)
		s.UDPPorts = []uint16{8125}
		p := start(t, launcher(t, Options{AnyPorts: anyPorts}), s)
		echoUDP(p)
		p.finish(t)
		var got []string
		for to := range p.RefusedDatagrams() {
			got = append(got, to.String())
		}
		want := "203.0.113.9:443 [2001:db8::9]:9999"
		if anyPorts {
			want = ""
		}
		if strings.Join(got, " ") != want {
			t.Errorf("anyports %t: %q", anyPorts, got)
		}
	}
}

// TestDatagramsToAllPorts is for monitoring. A function's own servers on loopback addresses stay its own.
func TestDatagramsToAllPorts(t *testing.T) {
	got := sendDatagrams(t, launcher(t, Options{}), udpPlaces, "'x'.repeat(40000)", func(s *Spec) { s.UDPPorts, s.UDPAll = []uint16{8125}, true })
	var want strings.Builder
	for _, place := range []string{"203.0.113.9:8125", "203.0.113.9:8125", "[2001:db8::9]:8125", "203.0.113.9:443", "[2001:db8::9]:9999"} {
		host, port, err := net.SplitHostPort(place)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "%s %s %.60s %d\n", host, port, place+" "+strings.Repeat("x", 60), len(place)+1+40000)
	}
	if got != want.String() {
		t.Errorf("\n%swant\n%s", got, want.String())
	}
	s := nodeSpec(t, `
	const dgram = require('dgram'), dns = require('dns').promises;
	const u = dgram.createSocket('udp4');
	u.on('message', async (m) => {
		console.log(String(m), (await dns.lookup('a.test', { family: 4 })).address);
		process.exit();
	});
	u.bind(9999, '127.0.0.1', () => u.send('own', 9999, '127.0.0.1'));`)
	s.UDPAll = true
	p := start(t, launcher(t, Options{}), s)
	echoUDP(p)
	answerDNS(p)
	if got := p.finish(t).out; got != "own 198.18.0.7\n" {
		t.Errorf("%q", got)
	}
}

// TestDatagramsInOne: what the kernel takes apart arrives in parts, whatever port it is for.
func TestDatagramsInOne(t *testing.T) {
	for _, all := range []bool{false, true} {
		s := probeSpec(t, "udp-in-one", "bind-named", "stay")
		s.UDPPorts, s.UDPAll = []uint16{9999, 8125}, all
		if all {
			s.UDPPorts = []uint16{8125}
		}
		p := start(t, launcher(t, Options{}), s)
		got := make(chan int, 100)
		for _, d := range p.UDP() {
			go func() {
				b := make([]byte, 64<<10)
				for {
					n, _, to, err := d.Receive(b)
					if err != nil {
						return
					}
					if to.String() == "203.0.113.9:9999" {
						got <- n
					}
				}
			}()
		}
		for i := range 10 {
			select {
			case n := <-got:
				if n != 100 {
					t.Errorf("all %t: datagram %d has %d bytes", all, i, n)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("all %t: %d datagrams of ten came", all, i)
			}
		}
		p.Kill()
		// A port that is taken at is no other's: nobody inside can answer in another's name.
		if a := p.finish(t).answers(); a["bind-named"] != "EADDRINUSE" {
			t.Errorf("all %t: %v", all, a)
		}
	}
}

func TestPort53IsDNS(t *testing.T) {
	s := nodeSpec(t, "")
	s.UDPPorts = []uint16{53}
	if p, err := launcher(t, Options{}).Start(t.Context(), s); err == nil {
		p.Kill()
		t.Error("port 53 was captured twice")
	}
}
