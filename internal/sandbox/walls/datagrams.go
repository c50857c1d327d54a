package walls

// Datagrams have no connection: the socket that takes them must tell where each was sent to, and be
// able to answer from there.

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ownMark is on every datagram that a socket of the supervisor's sends into the sandbox. The program
// can't set it: that takes a capability (socket(7), SO_MARK).
const ownMark = 0x77656972

// listenUDP makes the sockets of one family for datagrams.
func (r *raiser) listenUDP(h *handover, family int) *Failure {
	dns, udp, all := FDDNS4, FDUDP4, FDAll4
	if family == unix.AF_INET6 {
		dns, udp, all = FDDNS6, FDUDP6, FDAll6
	}
	add := func(kind string, port uint16) *Failure {
		fd, err := r.datagramSocket(family, int(port), kind == all)
		if err != nil {
			return failure(Network, fmt.Sprintf("taking datagrams at port %d", port), err)
		}
		h.add(kind, fd)
		return nil
	}
	if f := add(dns, dnsPort); f != nil {
		return f
	}
	for _, port := range r.cfg.UDPPorts {
		if f := add(udp, port); f != nil {
			return f
		}
	}
	if !r.cfg.UDPAll {
		return nil
	}
	if f := add(all, capturePort); f != nil {
		return f
	}
	// What was caught whatever its port can only be answered by who writes the header himself
	// (raw(7), IPPROTO_RAW): an ordinary socket has one port to answer from.
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err == nil {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, ownMark); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return failure(Capture, "a socket to answer datagrams", err)
	}
	h.add(FDRaw, fd)
	return nil
}

// datagramSocket takes datagrams to a port of every address. Each comes with the address that it was
// sent to, and answers can be sent from any address (ip(7), ipv6(7)): programs that connect their
// socket drop answers from elsewhere. transparent also takes datagrams to other ports that the capture
// delivers here.
func (r *raiser) datagramSocket(family, port int, transparent bool) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	set := func(level, option, value int) {
		err = errors.Join(err, os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value)))
	}
	if family == unix.AF_INET6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVORIGDSTADDR, 1)
		set(unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
	} else {
		set(unix.IPPROTO_IP, unix.IP_RECVORIGDSTADDR, 1)
	}
	switch {
	case transparent && family == unix.AF_INET6:
		set(unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, 1)
	case transparent:
		set(unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1)
	}
	if r.cfg.CaptureAll {
		set(unix.SOL_SOCKET, unix.SO_MARK, ownMark)
	}
	if r.cfg.zygote() {
		set(unix.SOL_SOCKET, unix.SO_RCVMARK, 1) // whose each datagram is, see MarkOf
	}
	if err == nil {
		err = bind(fd, family, port)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
