package sandbox

// Datagrams that left the program: each is read with the address that it was sent to, and answered
// from there, or programs that have connected their socket would not take the answer.

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Datagrams is a socket at which captured datagrams arrive. It is safe for concurrent use.
type Datagrams struct {
	conn *net.UDPConn
	raw  *os.File // answers if conn takes datagrams to many ports; else nil
}

// Receive takes a datagram: how long it is, who sent it, and where to. The error is net.ErrClosed once
// the sandbox has ended.
func (d *Datagrams) Receive(b []byte) (n int, from, to netip.AddrPort, err error) {
	return takeDatagram(d.conn, b)
}

// Reply sends a datagram to a program that sent one, from where that was sent to. It never waits: one
// that finds no room is lost.
func (d *Datagrams) Reply(b []byte, from, to netip.AddrPort) error {
	if d.raw == nil {
		return sendDatagram(d.conn, b, from.Addr(), to)
	}
	return d.replyRaw(b, from, to)
}

// Close closes the socket.
func (d *Datagrams) Close() error {
	err := d.conn.Close()
	if d.raw != nil {
		err = errors.Join(err, d.raw.Close())
	}
	return err
}

// takeDatagram takes one and finds its destination in the control messages (ip(7),
// IP_RECVORIGDSTADDR; the same for IPv6).
func takeDatagram(c *net.UDPConn, b []byte) (n int, from, to netip.AddrPort, err error) {
	n, from, to, _, err = takeMarked(c, b)
	return n, from, to, err
}

// takeMarked is takeDatagram for a socket that tells marks, too (socket(7), SO_RCVMARK).
func takeMarked(c *net.UDPConn, b []byte) (n int, from, to netip.AddrPort, mark uint32, err error) {
	oob := make([]byte, 128)
	for {
		var on int
		n, on, _, from, err = c.ReadMsgUDPAddrPort(b, oob)
		if err != nil {
			return 0, from, to, 0, err
		}
		if to, mark = destination(oob[:on]); to.IsValid() {
			return n, from, to, mark, nil
		}
	}
}

func destination(oob []byte) (to netip.AddrPort, mark uint32) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return to, 0
	}
	for _, m := range msgs { // struct sockaddr_in, struct sockaddr_in6
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_MARK && len(m.Data) >= 4:
			mark = binary.NativeEndian.Uint32(m.Data)
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_ORIGDSTADDR && len(m.Data) >= 8:
			to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(m.Data[4:8])), binary.BigEndian.Uint16(m.Data[2:]))
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_ORIGDSTADDR && len(m.Data) >= 24:
			to = netip.AddrPortFrom(netip.AddrFrom16([16]byte(m.Data[8:24])), binary.BigEndian.Uint16(m.Data[2:]))
		}
	}
	return to, mark
}

// sendDatagram sends from an address and the socket's own port.
func sendDatagram(c *net.UDPConn, b []byte, from netip.Addr, to netip.AddrPort) error {
	var oob []byte
	if from.Is4() {
		oob = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	} else {
		oob = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.As16()})
	}
	_, _, err := c.WriteMsgUDPAddrPort(b, oob, to)
	return err
}

// replyRaw sends a datagram with a header of our own. What the kernel fills in stays zero (raw(7),
// IP_HDRINCL).
func (d *Datagrams) replyRaw(b []byte, from, to netip.AddrPort) error {
	raw, err := d.raw.SyscallConn()
	if err != nil {
		return err
	}
	packet := append(ipHeader(from.Addr(), to.Addr(), udpHeader+len(b)), udpDatagram(b, from, to)...)
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: to.Addr().As16()}
	if to.Addr().Is4() {
		sa = &unix.SockaddrInet4{Addr: to.Addr().As4()}
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.Sendto(int(fd), packet, unix.MSG_DONTWAIT, sa) }); err != nil {
		return err
	}
	return sent
}

const (
	udpHeader = 8
	hops      = 64
)

func ipHeader(from, to netip.Addr, length int) []byte {
	if from.Is4() {
		h := make([]byte, 20, 20+length)
		h[0], h[8], h[9] = 4<<4|5, hops, unix.IPPROTO_UDP
		copy(h[12:], from.AsSlice())
		copy(h[16:], to.AsSlice())
		return h
	}
	h := make([]byte, 40, 40+length)
	h[0], h[6], h[7] = 6<<4, unix.IPPROTO_UDP, hops
	binary.BigEndian.PutUint16(h[4:], uint16(length))
	copy(h[8:], from.AsSlice())
	copy(h[24:], to.AsSlice())
	return h
}

// udpDatagram puts the header of UDP in front (RFC 768; RFC 8200, section 8.1, for the checksum, which
// counts addresses, protocol and length, too).
func udpDatagram(b []byte, from, to netip.AddrPort) []byte {
	length := udpHeader + len(b)
	d := make([]byte, udpHeader, length)
	binary.BigEndian.PutUint16(d, from.Port())
	binary.BigEndian.PutUint16(d[2:], to.Port())
	binary.BigEndian.PutUint16(d[4:], uint16(length))
	d = append(d, b...)
	sum := uint32(unix.IPPROTO_UDP + length)
	for _, part := range [][]byte{from.Addr().AsSlice(), to.Addr().AsSlice(), d} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(part[i]) << 8
			if i+1 < len(part) {
				sum += uint32(part[i+1])
			}
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum = ^sum & 0xffff; sum == 0 {
		sum = 0xffff // zero says that there is none
	}
	binary.BigEndian.PutUint16(d[6:], uint16(sum))
	return d
}

// dnsConn is the DNS socket of one address family. The address that a question was sent to travels with
// the asker's, so that the answer can leave from there.
type dnsConn struct{ *net.UDPConn }

// asker is who sent a datagram, and to which address.
type asker struct{ from, asked netip.AddrPort }

func (*asker) Network() string  { return "udp" }
func (a *asker) String() string { return a.from.String() }

// ReadFrom takes a datagram. Its address is good for WriteTo only.
func (c *dnsConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, asked, err := takeDatagram(c.UDPConn, b)
	if err != nil {
		return 0, nil, err
	}
	return n, &asker{from, asked}, nil
}

// WriteTo answers an address that ReadFrom gave.
func (c *dnsConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*asker)
	if !ok {
		return 0, &net.AddrError{Err: "not an address that ReadFrom gave", Addr: to.String()}
	}
	if err := sendDatagram(c.UDPConn, b, a.asked.Addr(), a.from); err != nil {
		return 0, err
	}
	return len(b), nil
}
