package egress

// This file exists because a question about a name must not leave the sandbox: names carry data. Who
// asks for an address gets one of the sandbox's own table, and nobody is asked. Other questions are asked
// outside if the policy has a rule for exactly that one.

import (
	"cmp"
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
	dnsPort      = 53
	dnsTTL       = 30               // seconds
	dnsIdle      = 10 * time.Second // of a DNS connection over TCP
	maxDNSName   = 100              // bytes of a name in a record
	maxUDPAnswer = 512              // bytes of a datagram (RFC 1035, section 4.2.1)
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
		send := func(r *response) {
			if msg := r.message(maxUDPAnswer); msg != nil {
				c.WriteTo(msg, from)
			}
		}
		r := s.respond(buf[:n])
		if r == nil || r.ask == nil {
			send(r)
			continue
		}
		go func() { // the next question need not wait for it
			defer s.survive()
			r.code, r.answers = r.ask()
			send(r)
		}()
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
		answer := s.answer(buf[2:2+n], maxAnswer)
		if answer == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer gives the response to one DNS message, nil for what is no query at all, of at most limit bytes.
func (s *Sandbox) answer(query []byte, limit int) []byte {
	r := s.respond(query)
	if r != nil && r.ask != nil {
		r.code, r.answers = r.ask()
	}
	return r.message(limit)
}

// response is a response that is being made.
type response struct {
	header   dnsmessage.Header
	question *dnsmessage.Question // nil if it could not be read
	outcome
}

// outcome is what became of a question. No answers with RCodeSuccess say that the name has no record of
// that type.
type outcome struct {
	code    dnsmessage.RCode
	answers []dnsmessage.Resource
	// ask, if it is set, has a server outside asked and gives code and answers. It must be called once.
	ask func() (dnsmessage.RCode, []dnsmessage.Resource)
}

// respond decides one DNS message (RFC 1035); nil is for what is no query at all. What stands behind the
// question (EDNS) is not looked at: the response is that of a server without EDNS (RFC 6891, section 7).
func (s *Sandbox) respond(query []byte) *response {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return nil
	}
	r := &response{header: dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true}}
	q, err := p.Question()
	if err == nil {
		if _, more := p.Question(); more != dnsmessage.ErrSectionDone {
			err = errTwoQuestions
		}
	}
	switch {
	case h.OpCode != 0:
		r.code = dnsmessage.RCodeNotImplemented
	case err != nil:
		r.code = dnsmessage.RCodeFormatError
	default:
		r.question, r.outcome = &q, s.lookUp(q)
	}
	return r
}

var errTwoQuestions = errors.New("more than one question")

// message packs a response. What is longer than limit is cut, and the client asks again over TCP.
func (r *response) message(limit int) []byte {
	if r == nil {
		return nil
	}
	m := dnsmessage.Message{Header: r.header, Answers: r.answers}
	m.RCode = r.code
	if r.question != nil {
		m.Questions = []dnsmessage.Question{*r.question}
	}
	msg, err := m.Pack()
	if err == nil && len(msg) > limit {
		m.Truncated, m.Answers = true, nil
		msg, err = m.Pack()
	}
	if err != nil {
		return nil
	}
	return msg
}

// address is the answer to a question for an address; none if that is not valid.
func address(q dnsmessage.Question, addr netip.Addr) []dnsmessage.Resource {
	r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: dnsTTL}}
	switch {
	case !addr.IsValid():
		return nil
	case addr.Is4():
		r.Body = &dnsmessage.AResource{A: addr.As4()}
	default:
		r.Body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
	}
	return []dnsmessage.Resource{r}
}

// Types that dnsmessage has no name for (RFC 9460).
const (
	typeSVCB  dnsmessage.Type = 64
	typeHTTPS dnsmessage.Type = 65
)

// lookUp decides one question.
func (s *Sandbox) lookUp(q dnsmessage.Question) outcome {
	name := strings.TrimSuffix(q.Name.String(), ".")
	if q.Class != dnsmessage.ClassINET {
		s.deniedQuestion(q, name, "only questions of the Internet class are answered")
		return outcome{code: dnsmessage.RCodeRefused}
	}
	switch q.Type {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA:
		addr, code := s.lookUpAddress(q, name)
		return outcome{code: code, answers: address(q, addr)}
	case typeHTTPS, typeSVCB: // modern clients ask this beside, and do well without an answer
		return outcome{code: dnsmessage.RCodeSuccess}
	}
	return s.lookUpOutside(q, name)
}

// lookUpOutside has a question asked outside if the policy allows that.
func (s *Sandbox) lookUpOutside(q dnsmessage.Question, name string) outcome {
	req, err := policy.NewDNS(policy.DNSType(uint16(q.Type)), name)
	if err != nil {
		s.deniedQuestion(q, name, err.Error())
		return outcome{code: dnsmessage.RCodeRefused}
	}
	d := s.function.engine.Decide(&req)
	r := record.Decision{Kind: "dns", Target: asked(req.Type, name)}
	if !d.Allow && !(s.function.monitor && allowable(&req)) {
		x := s.function.engine.Explain(&req, d)
		s.refuseQuestion(q, name, explained(r, x), x.String())
		return outcome{code: dnsmessage.RCodeRefused}
	}
	rooted, err := dnsmessage.NewName(req.Host + ".") // its one spelling: case could carry data, too
	if err != nil || !s.asking.tryTake() {
		return outcome{code: dnsmessage.RCodeServerFailure}
	}
	s.passed(r, &req, d)
	return outcome{ask: func() (dnsmessage.RCode, []dnsmessage.Resource) {
		defer s.asking.give()
		code, answers, err := s.function.egress.ask(s.ctx, dnsmessage.Question{Name: rooted, Type: q.Type, Class: q.Class})
		if err != nil {
			s.function.egress.logger.Debug("dns question failed", "type", req.Type, "name", req.Host, "err", err)
			return dnsmessage.RCodeServerFailure, nil
		}
		return code, answers
	}}
}

// allowable tells whether a rule could allow a question. What the machines inside are called, none
// should by accident.
func allowable(req *policy.Request) bool {
	return policy.Check(policy.Rule{Kind: policy.DNS, Pattern: req.Type + " " + req.Host}) == nil && !inside(req)
}

// lookUpAddress answers from the sandbox's own table. An invalid address with RCodeSuccess says that the
// name has none of that type.
func (s *Sandbox) lookUpAddress(q dnsmessage.Question, name string) (netip.Addr, dnsmessage.RCode) {
	host, err := policy.CanonicalHost(name)
	if _, ip := netip.ParseAddr(host); err == nil && ip == nil {
		err = errAddressAsked
	}
	if err != nil {
		s.deniedQuestion(q, name, err.Error())
		return netip.Addr{}, dnsmessage.RCodeNameError
	}
	var addr netip.Addr
	if host == "localhost" {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	} else {
		var room bool
		if addr, room = s.names.address(host, s.function.standing(host)); !room {
			s.refuseQuestion(q, name, record.Decision{Kind: "dns", Target: "(further names)",
				Reason: "this sandbox has asked for too many names that no rule names"}, "")
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

var errAddressAsked = errors.New("an address is no name that has one")

func (s *Sandbox) deniedQuestion(q dnsmessage.Question, name, reason string) {
	s.refuseQuestion(q, name, record.Decision{Kind: "dns", Reason: reason, Target: asked(policy.DNSType(uint16(q.Type)), name)}, "")
}

// refuseQuestion records a refused question, and tells the sandbox of it: text, or what the record says.
func (s *Sandbox) refuseQuestion(q dnsmessage.Question, name string, r record.Decision, text string) {
	s.ledger.writeOnce(r)
	refusal := refusalOf(r, text)
	refusal.Type, refusal.Name = q.Type, shown(name)
	s.tell(refusal)
}

// asked puts a question into a record.
func asked(typ, name string) string {
	if len(name) > maxDNSName {
		name = name[:maxDNSName] + "..."
	}
	return typ + " " + cmp.Or(shown(name), ".") // the root has no name at all
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
	for _, port := range f.udpPorts {
		if f.engine.ServesUDP(host, port) {
			return matched
		}
	}
	return other
}
