package egress

// This file exists because a question about a name must not leave the sandbox: names carry data. The
// answers come from the sandbox's own table; nobody is asked.

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

const (
	dnsPort    = 53
	dnsTTL     = 30               // seconds
	dnsIdle    = 10 * time.Second // of a DNS connection over TCP
	maxDNSName = 100              // bytes of a name in a record
)

// serveDNS answers datagrams until the connection is closed.
func (s *Sandbox) serveDNS(c net.PacketConn) {
	defer s.survive()
	buf := make([]byte, 4096)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
			return
		}
		if err != nil {
			time.Sleep(acceptPause)
			continue
		}
		if answer := s.answer(buf[:n]); answer != nil {
			c.WriteTo(answer, from)
		}
	}
}

// serveDNSConn answers questions over TCP (RFC 7766), whatever address they were sent to.
func (s *Sandbox) serveDNSConn(c net.Conn) {
	buf := make([]byte, 2+4096)
	for {
		c.SetDeadline(time.Now().Add(dnsIdle))
		if _, err := io.ReadFull(c, buf[:2]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(buf))
		if n > len(buf)-2 {
			return
		}
		if _, err := io.ReadFull(c, buf[2:2+n]); err != nil {
			return
		}
		answer := s.answer(buf[2 : 2+n])
		if answer == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer gives the response to one DNS message (RFC 1035), nil for what is no query at all. What
// stands behind the question (EDNS) is not looked at: the response is that of a server without EDNS
// (RFC 6891, section 7).
func (s *Sandbox) answer(query []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return nil
	}
	h = dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true}
	q, err := p.Question()
	if err == nil {
		if _, more := p.Question(); more != dnsmessage.ErrSectionDone {
			err = errTwoQuestions
		}
	}
	switch {
	case h.OpCode != 0:
		h.RCode = dnsmessage.RCodeNotImplemented
		return response(h, nil, netip.Addr{})
	case err != nil:
		h.RCode = dnsmessage.RCodeFormatError
		return response(h, nil, netip.Addr{})
	}
	var addr netip.Addr
	addr, h.RCode = s.lookUp(q)
	return response(h, &q, addr)
}

var errTwoQuestions = errors.New("more than one question")

// response builds a response: to q if it is not nil, with addr as the answer if it is valid.
func response(h dnsmessage.Header, q *dnsmessage.Question, addr netip.Addr) []byte {
	b := dnsmessage.NewBuilder(nil, h)
	b.EnableCompression()
	var err error
	if q != nil {
		if err = b.StartQuestions(); err == nil {
			err = b.Question(*q)
		}
		if err == nil && addr.IsValid() {
			if err = b.StartAnswers(); err == nil {
				rh := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: dnsTTL}
				if addr.Is4() {
					err = b.AResource(rh, dnsmessage.AResource{A: addr.As4()})
				} else {
					err = b.AAAAResource(rh, dnsmessage.AAAAResource{AAAA: addr.As16()})
				}
			}
		}
	}
	msg, finish := b.Finish()
	if err != nil || finish != nil {
		return nil
	}
	return msg
}

// Types that dnsmessage has no name for (RFC 9460).
const (
	typeSVCB  dnsmessage.Type = 64
	typeHTTPS dnsmessage.Type = 65
)

// lookUp decides one question. An invalid address with RCodeSuccess says that the name has no
// address of that type.
func (s *Sandbox) lookUp(q dnsmessage.Question) (netip.Addr, dnsmessage.RCode) {
	name := strings.TrimSuffix(q.Name.String(), ".")
	if q.Class != dnsmessage.ClassINET {
		s.deniedQuestion(q, name, "only questions of the Internet class are answered")
		return netip.Addr{}, dnsmessage.RCodeRefused
	}
	switch q.Type {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA:
	case typeHTTPS, typeSVCB: // modern clients ask this beside, and do well without an answer
		return netip.Addr{}, dnsmessage.RCodeSuccess
	default:
		s.deniedQuestion(q, name, "only questions for A and AAAA are answered")
		return netip.Addr{}, dnsmessage.RCodeRefused
	}
	host, err := policy.CanonicalHost(name)
	if _, ip := netip.ParseAddr(host); err != nil || ip == nil {
		s.deniedQuestion(q, name, "no host can have this name")
		return netip.Addr{}, dnsmessage.RCodeNameError
	}
	var addr netip.Addr
	if host == "localhost" {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	} else {
		var room bool
		if addr, room = s.names.address(host, s.function.standing(host)); !room {
			s.denials.writeOnce(record.Decision{Kind: "dns", Target: "(further names)",
				Reason: "this sandbox has asked for too many names that no rule names"})
			return netip.Addr{}, dnsmessage.RCodeRefused
		}
	}
	switch {
	case q.Type == dnsmessage.TypeA:
		return addr, dnsmessage.RCodeSuccess
	case !s.ipv6.Load():
		return netip.Addr{}, dnsmessage.RCodeSuccess
	case addr.IsLoopback():
		return netip.IPv6Loopback(), dnsmessage.RCodeSuccess
	}
	return v6(addr), dnsmessage.RCodeSuccess
}

func (s *Sandbox) deniedQuestion(q dnsmessage.Question, name, reason string) {
	asked := shown(name)
	if len(name) > maxDNSName {
		name = name[:maxDNSName] + "..."
	}
	r := record.Decision{Kind: "dns", Reason: reason,
		Target: strings.TrimPrefix(q.Type.String(), "Type") + " " + shown(name)}
	s.denials.writeOnce(r)
	refusal := refusalOf(r, "")
	refusal.Type, refusal.Name = q.Type, asked
	s.tell(refusal)
}

// standing tells how the policy knows a name.
func (f *Function) standing(host string) standing {
	if f.pinned[host] {
		return pinned
	}
	for _, port := range f.ports {
		if f.engine.Service(host, port) != policy.NoService {
			return matched
		}
	}
	return other
}
