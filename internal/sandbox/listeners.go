package sandbox

// The listeners that the first process handed over: they live in the sandbox's network namespace
// and are served from here.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
)

// received is what came over the control socket.
type received struct {
	tcp     []net.Listener
	udp     []net.PacketConn
	records *os.File
}

// add takes one descriptor. It owns it from then on.
func (r *received) add(kind string, fd int) error {
	// Non-blocking, so that waiting at it takes no thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	f := os.NewFile(uintptr(fd), kind)
	switch kind {
	case walls.FDTCP:
		defer f.Close()
		l, err := net.FileListener(f)
		if err != nil {
			return err
		}
		r.tcp = append(r.tcp, l)
	case walls.FDUDP4, walls.FDUDP6:
		defer f.Close()
		c, err := net.FilePacketConn(f)
		if err != nil {
			return err
		}
		u, ok := c.(*net.UDPConn)
		if !ok {
			c.Close()
			return errors.New("the DNS socket is none")
		}
		r.udp = append(r.udp, &dnsConn{UDPConn: u, v6: kind == walls.FDUDP6})
	case walls.FDRecords:
		r.records = f
	default:
		f.Close()
		return fmt.Errorf("unknown descriptor %q", kind)
	}
	return nil
}

func (r *received) close() {
	for _, l := range r.tcp {
		l.Close()
	}
	for _, c := range r.udp {
		c.Close()
	}
	if r.records != nil {
		r.records.Close()
	}
}

// dnsConn is the DNS socket of one address family. The address that a question was sent to
// travels with the asker's, so that the answer can leave from there: resolvers take no other.
type dnsConn struct {
	*net.UDPConn
	v6 bool
}

// asker is who sent a datagram, and to which address.
type asker struct {
	from  netip.AddrPort
	asked netip.Addr
}

func (*asker) Network() string  { return "udp" }
func (a *asker) String() string { return a.from.String() }

// ReadFrom takes a datagram. Its address is good for WriteTo only.
func (c *dnsConn) ReadFrom(b []byte) (int, net.Addr, error) {
	oob := make([]byte, 128)
	n, on, _, from, err := c.ReadMsgUDPAddrPort(b, oob)
	if err != nil {
		return 0, nil, err
	}
	return n, &asker{from: from, asked: askedAddress(oob[:on])}, nil
}

// WriteTo answers an address that ReadFrom gave.
func (c *dnsConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*asker)
	if !ok {
		return 0, &net.AddrError{Err: "not an address that ReadFrom gave", Addr: to.String()}
	}
	var oob []byte
	switch {
	case c.v6 && a.asked.Is6():
		oob = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.asked.As16()})
	case !c.v6 && a.asked.Is4():
		oob = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.asked.As4()})
	}
	n, _, err := c.WriteMsgUDPAddrPort(b, oob, a.from)
	return n, err
}

// askedAddress finds the destination in the control messages of a datagram (ip(7), IP_PKTINFO;
// ipv6(7), IPV6_PKTINFO).
func askedAddress(oob []byte) netip.Addr {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 12:
			return netip.AddrFrom4([4]byte(m.Data[8:12])) // ipi_addr
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			return netip.AddrFrom16([16]byte(m.Data[:16])) // ipi6_addr
		}
	}
	return netip.Addr{}
}
