package walls

// The nftables rules that catch every TCP connection, whatever its port, and stop every datagram
// but DNS. They are the sandbox's own: they stand in its network namespace, which the program has
// no capability in. If a rule were wrong, a connection would be refused: there is no other device.

import (
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// match is part of a rule; parts are joined with and.
type match []expr.Any

// capture installs the rules, in one transaction. TCP to the given ports is caught on loopback
// addresses too.
func capture(ipv6 bool, loopback []uint16) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "weir"})
	families := []byte{unix.NFPROTO_IPV4}
	if ipv6 {
		families = append(families, unix.NFPROTO_IPV6)
	}

	// Caught on arrival. Only the first segment matters: the kernel finds the connection for all
	// that follow, and answers from the listener must not be caught.
	in := c.AddChain(&nftables.Chain{Name: "capture", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle})
	rule := func(chain *nftables.Chain, parts ...match) {
		var all []expr.Any
		for _, p := range parts {
			all = append(all, p...)
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: all})
	}
	for _, f := range families {
		for _, port := range loopback {
			rule(in, family(f), toLoopback(f), protocol(unix.IPPROTO_TCP), port16(2, port), opening(), tproxy(f))
		}
		rule(in, family(f), toLoopback(f), verdict(expr.VerdictReturn))
		rule(in, family(f), protocol(unix.IPPROTO_TCP), opening(), tproxy(f))
	}

	// Checked on departure. The program can make neither raw nor ICMP sockets; ICMP is the
	// kernel's own, which carries the refusal back.
	drop := nftables.ChainPolicyDrop
	out := c.AddChain(&nftables.Chain{Name: "departure", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	accept := verdict(expr.VerdictAccept)
	rule(out, protocol(unix.IPPROTO_TCP), accept)
	rule(out, protocol(unix.IPPROTO_UDP), port16(2, dnsPort), accept)
	rule(out, protocol(unix.IPPROTO_UDP), port16(0, dnsPort), accept)
	for _, f := range families {
		rule(out, family(f), toLoopback(f), protocol(unix.IPPROTO_UDP), accept)
	}
	rule(out, protocol(unix.IPPROTO_ICMP), accept)
	rule(out, protocol(unix.IPPROTO_ICMPV6), accept)
	rule(out, protocol(unix.IPPROTO_UDP), match{
		&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
	return c.Flush()
}

func equal(load expr.Any, data []byte) match {
	return match{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}}
}

func family(f byte) match {
	return equal(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, []byte{f})
}

func protocol(p byte) match {
	return equal(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, []byte{p})
}

// toLoopback matches a destination in 127.0.0.0/8, or ::1.
func toLoopback(f byte) match {
	if f == unix.NFPROTO_IPV4 {
		return equal(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 1}, []byte{127})
	}
	return equal(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16}, net.IPv6loopback)
}

// port16 matches the source port (offset 0) or the destination port (offset 2).
func port16(offset uint32, port uint16) match {
	return equal(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		binaryutil.BigEndian.PutUint16(port))
}

// opening matches a TCP segment with SYN and without ACK.
func opening() match {
	const syn, ack = 0x02, 0x10
	return match{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{syn | ack}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{syn}},
	}
}

// tproxy delivers the connection to the listener at capturePort.
func tproxy(f byte) match {
	return match{
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(capturePort)},
		&expr.TProxy{Family: f, TableFamily: unix.NFPROTO_INET, RegPort: 1},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

func verdict(k expr.VerdictKind) match { return match{&expr.Verdict{Kind: k}} }
