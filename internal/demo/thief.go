package demo

// The thief: takes what comes by HTTPS, by raw TCP and in the names of DNS questions, and looks
// through it for the secrets.

import (
	"bufio"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// What there is to steal; all of it is made up. The card is Stripe's American Express test number.
const (
	stripeKey     = "sk_test_weir_demo" // hijack.js does nothing with any other key
	cardNumber    = "378282246310005"
	npmToken      = "demo-npm-token"
	databaseURL   = "postgres://shop:demo-password@db.internal/shop"
	sessionSecret = "demo-session-secret"
	cloudSecret   = "demo-cloud-secret-access-key"
)

// secrets are what the thief is after, and where the hijacked package finds each.
var secrets = []struct{ what, from, value string }{
	{"Stripe key", "the function's own variable", stripeKey},
	{"card number", "the event", cardNumber},
	{"npm token", "~/.npmrc", npmToken},
	{"database URL", "/proc/self/environ", databaseURL},
	{"session secret", "a child process, sh -c", sessionSecret},
	{"cloud credentials", "the metadata service", cloudSecret},
}

// ways are how loot can reach the thief.
var ways = []string{"https", "tcp", "dns"}

// thiefPatience bounds how long the thief waits for a victim to go on.
const thiefPatience = 5 * time.Second

// take notes a message and the secrets in it.
func (n *internet) take(way, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reached[way]++
	for _, s := range secrets {
		if !strings.Contains(text, s.value) {
			continue
		}
		if n.via[s.what] == nil {
			n.via[s.what] = map[string]bool{}
		}
		n.via[s.what][way] = true
	}
}

func (n *internet) serveThief(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)) // half a message is loot, too
	n.take("https", r.RequestURI+" "+string(body))
	io.WriteString(w, "thanks")
}

// serveTCP takes one line from each connection and says thanks.
func (n *internet) serveTCP(name string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n.routes[name] = l.Addr().String()
	n.closers = append(n.closers, l.Close)
	n.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.serving.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(thiefPatience))
				line, _ := bufio.NewReader(io.LimitReader(c, 1<<20)).ReadString('\n')
				n.take("tcp", line)
				io.WriteString(c, "thanks\n")
			})
		}
	})
	return nil
}

// serveDNS is the name server for the thief's domain.
func (n *internet) serveDNS() error {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n.resolver = c.LocalAddr().String()
	n.closers = append(n.closers, c.Close)
	n.serving.Go(func() {
		buf := make([]byte, 4096)
		for {
			size, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := n.answer(buf[:size]); answer != nil {
				c.WriteTo(answer, from)
			}
		}
	})
	return nil
}

// answer takes what a question's name holds and gives the thief's address for it (RFC 1035).
func (n *internet) answer(query []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	n.take("dns", unhide(q.Name.String()))
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionDesired: h.RecursionDesired},
		Questions: []dnsmessage.Question{q},
	}
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(thiefIP).As4()},
		}}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}

// unhide gives what a name such as 6b6579.666f6f.card.thief.example hides: its labels but the last
// one before the thief's domain, in hexadecimal.
func unhide(name string) string {
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(name), "."+thiefHost+"."), ".")
	b, err := hex.DecodeString(strings.Join(labels[:len(labels)-1], ""))
	if err != nil {
		return name
	}
	return string(b)
}
