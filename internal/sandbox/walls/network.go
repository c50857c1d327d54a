package walls

// The network of a sandbox: only the loopback device, on which every address of the world is
// local. Whatever the program connects to, it reaches a listener that was made here and handed to
// the supervisor, or nothing.

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// capturePort is where the kernel delivers caught connections. It is privileged, so that it
	// is in no program's way.
	capturePort = 1
	dnsPort     = 53
	backlog     = 1024
)

// network raises the device, the capture and the listeners, and sends the listeners away.
func (r *raiser) network() *Failure {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return failure(Network, "finding the loopback device", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return failure(Network, "raising the loopback device", err)
	}
	r.report.IPv6 = hasIPv6()
	for _, family := range r.families() {
		if err := anyAddress(lo, family); err != nil {
			return failure(Network, "routing every address to the loopback device", err)
		}
	}
	if r.cfg.CaptureAll {
		if f := r.capture(); f != nil {
			return f
		}
	}
	if r.cfg.Slots > 0 {
		if f := separate(r.cfg.Slots); f != nil {
			if !r.cfg.Probe {
				return f
			}
			r.failed(f)
		}
	}
	return r.listen()
}

// capture installs the rules. If only that fails by which refused datagrams are told of, it says so.
func (r *raiser) capture() *Failure {
	err := capture(r.report.IPv6, r.cfg)
	if err == nil {
		return nil
	}
	if plain := *r.cfg; plain.UDPRecords {
		if plain.UDPRecords = false; capture(r.report.IPv6, &plain) == nil {
			return failure(UDPRecords, "nftables rules with a log", err)
		}
	}
	return failure(Capture, "nftables rules", err)
}

func (r *raiser) families() []int {
	if r.report.IPv6 {
		return []int{unix.AF_INET, unix.AF_INET6}
	}
	return []int{unix.AF_INET}
}

// hasIPv6 tells whether this network namespace has IPv6 at all: ::1 is there as soon as the
// loopback device is up. Where it isn't, no socket can send an IPv6 packet.
func hasIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}) == nil
}

// anyAddress makes every address of the family local ("AnyIP", ip-route(8), type local).
func anyAddress(lo netlink.Link, family int) error {
	dst, scope := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, netlink.SCOPE_HOST
	if family == unix.AF_INET6 {
		dst, scope = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}, netlink.SCOPE_UNIVERSE
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst, Scope: scope,
		Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL})
}

// listen makes the listeners and sends them to the supervisor.
func (r *raiser) listen() *Failure {
	ports := []uint16{capturePort}
	if !r.cfg.CaptureAll {
		ports = slices.Concat([]uint16{dnsPort}, r.cfg.Ports, r.cfg.Loopback)
		slices.Sort(ports)
		ports = slices.Compact(ports)
	}
	var h handover
	for _, family := range r.families() {
		for _, port := range ports {
			fd, err := listenTCP(family, int(port), r.cfg.CaptureAll)
			if err != nil {
				wall := Network
				if r.cfg.CaptureAll {
					wall = Capture
				}
				return failure(wall, fmt.Sprintf("listening on port %d", port), err)
			}
			h.add(FDTCP, fd)
		}
		if f := r.listenUDP(&h, family); f != nil {
			return f
		}
	}
	if r.cfg.CaptureAll && r.cfg.UDPRecords {
		if f := r.listenRefused(&h); f != nil {
			return f
		}
	}
	return h.send(r.ctl)
}

// handover is what goes to the supervisor.
type handover struct {
	fds   []int
	kinds []string
}

func (h *handover) add(kind string, fd int) {
	h.fds, h.kinds = append(h.fds, fd), append(h.kinds, kind)
}

// send sends the descriptors, a few at a time, and closes them.
func (h *handover) send(ctl *control) *Failure {
	for fds, kinds := h.fds, h.kinds; len(fds) > 0; {
		n := min(len(fds), MaxFDs)
		if err := ctl.report(&Report{FDs: kinds[:n]}, fds[:n]); err != nil {
			return failure(Network, "handing over the listeners", err)
		}
		for _, fd := range fds[:n] {
			unix.Close(fd)
		}
		fds, kinds = fds[n:], kinds[n:]
	}
	return nil
}

// listenTCP listens on a port of every address. transparent also takes connections to other ports
// that the capture delivers here; their local address stays the one that was dialled
// (Documentation/networking/tproxy.rst).
func listenTCP(family, port int, transparent bool) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if family == unix.AF_INET6 {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
		if transparent {
			err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, 1))
		}
	} else if transparent {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1))
	}
	if err == nil {
		err = bind(fd, family, port)
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func bind(fd, family, port int) error {
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: port}
	if family == unix.AF_INET6 {
		sa = &unix.SockaddrInet6{Port: port}
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sa))
}
