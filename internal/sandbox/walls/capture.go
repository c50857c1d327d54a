package walls

// The nftables rules that catch every TCP connection, whatever its port, and stop every datagram
// but DNS and those to ports that are named. They are the sandbox's own: they stand in its network namespace, which the program has
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

// capturer collects the rules.
type capturer struct {
	*nftables.Conn
	table    *nftables.Table
	families []byte
	cfg      *Config
}

// capture installs the rules, in one transaction.
func capture(ipv6 bool, cfg *Config) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	c := capturer{Conn: conn, cfg: cfg, families: []byte{unix.NFPROTO_IPV4},
		table: conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "weir"})}
	if ipv6 {
		c.families = append(c.families, unix.NFPROTO_IPV6)
	}
	c.arrival()
	c.departure()
	return c.Flush()
}

func (c *capturer) rule(chain *nftables.Chain, parts ...match) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	c.AddRule(&nftables.Rule{Table: c.table, Chain: chain, Exprs: all})
}

// arrival catches what arrives. Of TCP only the first segment matters: the kernel finds the connection
// for all that follow, and answers from the listener must not be caught. Nor must those of our sockets
// for datagrams be, nor what these take anyway.
func (c *capturer) arrival() {
	in := c.AddChain(&nftables.Chain{Name: "capture", Table: c.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle})
	tcp, udp, pass := protocol(unix.IPPROTO_TCP), protocol(unix.IPPROTO_UDP), verdict(expr.VerdictReturn)
	if c.cfg.UDPAll {
		c.rule(in, udp, marked(), pass)
		for _, port := range c.cfg.datagramPorts() {
			c.rule(in, udp, toPort(port), pass)
		}
	}
	for _, f := range c.families {
		for _, port := range c.cfg.Loopback {
			c.rule(in, family(f), toLoopback(f), tcp, toPort(port), opening(), tproxy(f))
		}
		c.rule(in, family(f), toLoopback(f), pass)
		c.rule(in, family(f), tcp, opening(), tproxy(f))
		if c.cfg.UDPAll {
			c.rule(in, family(f), udp, tproxy(f))
		}
	}
}

// departure checks what is sent. The program can make neither raw nor ICMP sockets; ICMP is the kernel's
// own, which carries the refusal back.
func (c *capturer) departure() {
	drop := nftables.ChainPolicyDrop
	out := c.AddChain(&nftables.Chain{Name: "departure", Table: c.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	udp, accept := protocol(unix.IPPROTO_UDP), verdict(expr.VerdictAccept)
	c.rule(out, protocol(unix.IPPROTO_TCP), accept)
	c.rule(out, udp, marked(), accept)
	for _, port := range c.cfg.datagramPorts() {
		c.rule(out, udp, toPort(port), accept)
	}
	for _, f := range c.families {
		c.rule(out, family(f), toLoopback(f), udp, accept)
	}
	if c.cfg.UDPAll {
		c.rule(out, udp, accept)
	}
	c.rule(out, protocol(unix.IPPROTO_ICMP), accept)
	c.rule(out, protocol(unix.IPPROTO_ICMPV6), accept)
	if c.cfg.UDPRecords {
		c.rule(out, udp, logged())
	}
	c.rule(out, udp, match{
		&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
}

// datagramPorts are the ports at which datagrams are taken.
func (cfg *Config) datagramPorts() []uint16 { return append([]uint16{dnsPort}, cfg.UDPPorts...) }

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

// toPort matches the destination port.
func toPort(port uint16) match {
	return equal(&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		binaryutil.BigEndian.PutUint16(port))
}

// marked matches what our own sockets sent.
func marked() match {
	return equal(&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, binaryutil.NativeEndian.PutUint32(ownMark))
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
