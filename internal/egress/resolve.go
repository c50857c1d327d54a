package egress

// This file exists because some questions have to be asked outside: what is asked is written anew from
// what was decided on, and of the answer only what answers it comes back.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/internal/policy"
)

const (
	askTime    = 5 * time.Second // for one question, all servers included
	askTryTime = 2 * time.Second // for one server
	maxServers = 3               // resolv.conf(5), MAXNS
	maxAsking  = 16              // questions of one sandbox that wait for an answer from outside
	maxAnswer  = 16 << 10        // bytes of an answer
	maxChain   = 8               // aliases before the answer
	maxTTL     = 300             // seconds; a sandbox asks again soon enough
)

var errNoAnswer = errors.New("the DNS server gave no answer that fits")

// ask asks the machine's DNS servers, one after the other. The error is that of the last one.
func (e *Egress) ask(ctx context.Context, q dnsmessage.Question) (dnsmessage.RCode, []dnsmessage.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	servers := e.resolvers
	if len(servers) == 0 {
		servers = systemResolvers("/etc/resolv.conf")
	}
	err := errNoAnswer
	for _, s := range servers[:min(len(servers), maxServers)] {
		var code dnsmessage.RCode
		var list []dnsmessage.Resource
		if code, list, err = askServer(ctx, s, q); err == nil {
			return code, list, nil
		}
	}
	return 0, nil, err
}

// systemResolvers reads the servers from a file in the form of resolv.conf(5), which has the default, too.
func systemResolvers(file string) []netip.AddrPort {
	var list []netip.AddrPort
	b, _ := os.ReadFile(file) // without one, the default
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			list = append(list, netip.AddrPortFrom(a, dnsPort))
		}
	}
	if len(list) == 0 {
		list = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return list
}

// askServer asks by UDP, and by TCP if the answer is too long for that.
func askServer(ctx context.Context, server netip.AddrPort, q dnsmessage.Question) (dnsmessage.RCode, []dnsmessage.Resource, error) {
	ctx, cancel := context.WithTimeout(ctx, askTryTime)
	defer cancel()
	for _, network := range []string{"udp", "tcp"} {
		m, err := exchangeDNS(ctx, network, server, q)
		if err != nil {
			return 0, nil, err
		}
		if m.Truncated && network == "udp" {
			continue
		}
		if m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError {
			return 0, nil, errNoAnswer
		}
		return m.RCode, answering(q, m.Answers), nil
	}
	return 0, nil, errNoAnswer
}

// exchangeDNS asks one question and gives the message that answers it, its answers only.
func exchangeDNS(ctx context.Context, network string, server netip.AddrPort, q dnsmessage.Question) (*dnsmessage.Message, error) {
	var id [2]byte
	rand.Read(id[:])
	ask := dnsmessage.Message{Header: dnsmessage.Header{ID: binary.BigEndian.Uint16(id[:]), RecursionDesired: true}, Questions: []dnsmessage.Question{q}}
	query, err := ask.Pack()
	if err != nil {
		return nil, err
	}
	c, err := new(net.Dialer).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	}
	if _, err := c.Write(query); err != nil {
		return nil, err
	}
	buf := make([]byte, maxAnswer)
	for {
		n, err := readDNS(c, network, buf)
		if err != nil {
			return nil, err
		}
		if m := parseDNS(buf[:n], ask.ID, q); m != nil {
			return m, nil
		}
		if network == "tcp" {
			return nil, errNoAnswer
		}
		// A datagram that doesn't fit may be a forged one: the true one may still come.
	}
}

func readDNS(c net.Conn, network string, buf []byte) (int, error) {
	if network == "udp" {
		return c.Read(buf)
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > len(buf) {
		return 0, errNoAnswer
	}
	return io.ReadFull(c, buf[:n])
}

// parseDNS reads a response to q; nil if it is none.
func parseDNS(b []byte, id uint16, q dnsmessage.Question) *dnsmessage.Message {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.ID != id || h.OpCode != 0 {
		return nil
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) != 1 || asked[0].Type != q.Type || asked[0].Class != q.Class || !sameName(asked[0].Name, q.Name) {
		return nil
	}
	m := &dnsmessage.Message{Header: h}
	if h.Truncated {
		return m // what came of it is of no use
	}
	if m.Answers, err = p.AllAnswers(); err != nil {
		return nil
	}
	return m
}

func sameName(a, b dnsmessage.Name) bool { return strings.EqualFold(a.String(), b.String()) }

// answering gives the records that answer q: those of its type, and the aliases that lead to them.
func answering(q dnsmessage.Question, all []dnsmessage.Resource) []dnsmessage.Resource {
	var list []dnsmessage.Resource
	name := q.Name
	for range maxChain {
		alias := dnsmessage.Name{}
		for _, r := range all {
			if r.Header.Class != dnsmessage.ClassINET || !sameName(r.Header.Name, name) {
				continue
			}
			target, isAlias := r.Body.(*dnsmessage.CNAMEResource)
			if r.Header.Type != q.Type && !isAlias || !selfContained(r.Body) {
				continue
			}
			r.Header.TTL = min(r.Header.TTL, maxTTL)
			list = append(list, r)
			if isAlias && q.Type != dnsmessage.TypeCNAME {
				alias = target.CNAME
			}
		}
		if alias.Length == 0 {
			break
		}
		name = alias
	}
	return list
}

const typeNAPTR dnsmessage.Type = 35

// selfContained tells whether a record means the same in another message. Of the types that a rule can
// name and dnsmessage does not know, only NAPTR holds a name, which must not be shortened by reference to
// the message (RFC 3403, section 4.1).
func selfContained(body dnsmessage.ResourceBody) bool {
	u, ok := body.(*dnsmessage.UnknownResource)
	if !ok || u.Type != typeNAPTR {
		return true
	}
	b := u.Data
	if len(b) < 4 {
		return false
	}
	b = b[4:]     // order, preference
	for range 3 { // flags, services, regular expression
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return false
		}
		b = b[1+int(b[0]):]
	}
	for len(b) > 0 && b[0] != 0 {
		if b[0] > 63 || len(b) < 1+int(b[0]) {
			return false
		}
		b = b[1+int(b[0]):]
	}
	return len(b) == 1
}

// reversed gives the address that a name of reverse look-ups stands for (RFC 1035, section 3.5; RFC 3596,
// section 2.5). isReverse tells whether it is such a name at all; the address is invalid if it stands for
// none or for several.
func reversed(name string) (addr netip.Addr, isReverse bool) {
	labels := strings.Split(name, ".")
	if len(labels) < 2 || labels[len(labels)-1] != "arpa" {
		return netip.Addr{}, false
	}
	kind, labels := labels[len(labels)-2], labels[:len(labels)-2]
	var text strings.Builder
	for i := len(labels) - 1; i >= 0; i-- {
		text.WriteString(labels[i])
		switch {
		case i == 0:
		case kind == "in-addr":
			text.WriteByte('.')
		case (len(labels)-i)%4 == 0:
			text.WriteByte(':')
		}
	}
	addr, err := netip.ParseAddr(text.String())
	if err != nil || addr.Is4() != (kind == "in-addr") {
		return netip.Addr{}, true
	}
	return addr, true
}

// inside tells whether a question is about what lies inside: the names of its machines.
func inside(req *policy.Request) bool {
	addr, ok := reversed(req.Host)
	return ok && classify(addr) != public
}
