package walls

// What the rules refuse to send, the kernel tells a socket of (NFLOG): else a datagram that no rule names a
// port for would leave no trace but the error that its sender gets.

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"syscall"

	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of linux/netfilter/nfnetlink_log.h.
const (
	nfulnlPacket     = unix.NFNL_SUBSYS_ULOG << 8
	nfulnlConfig     = unix.NFNL_SUBSYS_ULOG<<8 | 1
	nfulaConfigCmd   = 1
	nfulaConfigMode  = 2
	nfulaConfigQueue = 5
	nfulaMark        = 2
	nfulaPayload     = 9
	nfulnlBind       = 1
	nfulnlCopyPacket = 2
)

// logged bounds how many are told of: who sends more in a second is known well enough by then.
func logged() match {
	const bytes = 64 // the headers of IPv6 and UDP have 48
	return match{
		&expr.Limit{Type: expr.LimitTypePkts, Rate: 100, Unit: expr.LimitTimeSecond, Burst: 200},
		&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN, Group: 0, Snaplen: bytes},
	}
}

// listenRefused makes the socket at which the kernel tells of them, each at once.
func (r *raiser) listenRefused(h *handover) *Failure {
	fd, err := logSocket()
	if err != nil {
		return failure(UDPRecords, "a socket for NFLOG", err)
	}
	h.add(FDRefused, fd)
	return nil
}

func logSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	req := nl.NewNetlinkRequest(nfulnlConfig, unix.NLM_F_ACK)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC}) // the group is 0
	req.AddData(nl.NewRtAttr(nfulaConfigCmd, []byte{nfulnlBind}))
	req.AddData(nl.NewRtAttr(nfulaConfigMode, []byte{0, 0, 0xff, 0xff, nfulnlCopyPacket, 0}))
	req.AddData(nl.NewRtAttr(nfulaConfigQueue, []byte{0, 0, 0, 1}))
	err = errors.Join(
		// What finds no room is lost, without an error that would have to be read.
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1)),
		os.NewSyscallError("sendto", unix.Sendto(fd, req.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})))
	if err == nil {
		err = acknowledged(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// acknowledged reads the kernel's answer to a request.
func acknowledged(fd int) error {
	b := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return os.NewSyscallError("recvfrom", err)
	}
	msgs, err := syscall.ParseNetlinkMessage(b[:n])
	if err != nil || len(msgs) == 0 || msgs[0].Header.Type != unix.NLMSG_ERROR || len(msgs[0].Data) < 4 {
		return errors.New("the kernel's answer can't be read")
	}
	if errno := -int32(binary.NativeEndian.Uint32(msgs[0].Data)); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// Datagram is one that was refused.
type Datagram struct {
	To   netip.AddrPort
	Mark uint32 // of the socket that sent it, see MarkOf; 0 if it has none
}

// ParseRefused gives the datagrams that a message of an FDRefused tells of.
func ParseRefused(b []byte) []Datagram {
	msgs, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil
	}
	var out []Datagram
	for _, m := range msgs {
		if m.Header.Type != nfulnlPacket || len(m.Data) < nl.SizeofNfgenmsg {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m.Data[nl.SizeofNfgenmsg:])
		if err != nil {
			continue
		}
		var d Datagram
		for _, a := range attrs {
			switch {
			case a.Attr.Type == nfulaPayload:
				d.To = destinationOf(a.Value)
			case a.Attr.Type == nfulaMark && len(a.Value) >= 4:
				d.Mark = binary.BigEndian.Uint32(a.Value)
			}
		}
		if d.To.IsValid() {
			out = append(out, d)
		}
	}
	return out
}

// destinationOf reads where a packet of UDP goes: IPv4 (RFC 791) or IPv6 (RFC 8200). The kernel puts the header
// of UDP where it says: no program here can write headers.
func destinationOf(packet []byte) netip.AddrPort {
	if len(packet) == 0 {
		return netip.AddrPort{}
	}
	var addr netip.Addr
	var at int // of the header of UDP
	switch packet[0] >> 4 {
	case 4:
		if at = int(packet[0]&0xf) * 4; at >= 20 && len(packet) >= at+4 {
			addr = netip.AddrFrom4([4]byte(packet[16:20]))
		}
	case 6:
		if at = 40; len(packet) >= at+4 && packet[6] == unix.IPPROTO_UDP {
			addr = netip.AddrFrom16([16]byte(packet[24:40]))
		}
	}
	if !addr.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(packet[at+2:]))
}
