package sandbox

// The listeners that the first process handed over: they live in the sandbox's network namespace
// and are served from here.

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
)

// received is what came over the control socket.
type received struct {
	tcp     []net.Listener
	dns     []net.PacketConn
	udp     []*Datagrams
	records *os.File
	early   []Attempt // what the program called before anybody followed records
	refused *os.File  // tells of refused datagrams
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
	case walls.FDDNS4, walls.FDDNS6, walls.FDUDP4, walls.FDUDP6, walls.FDAll4, walls.FDAll6:
		defer f.Close()
		c, err := net.FilePacketConn(f)
		if err != nil {
			return err
		}
		u, ok := c.(*net.UDPConn)
		if !ok {
			c.Close()
			return errors.New("the socket for datagrams is none")
		}
		if kind == walls.FDDNS4 || kind == walls.FDDNS6 {
			r.dns = append(r.dns, &dnsConn{u})
		} else {
			r.udp = append(r.udp, &Datagrams{conn: u})
		}
	case walls.FDRaw:
		if len(r.udp) == 0 {
			f.Close()
			return errors.New("a socket to answer datagrams came without one that takes them")
		}
		r.udp[len(r.udp)-1].raw = f
	case walls.FDRecords:
		r.records = f
	case walls.FDRefused:
		r.refused = f
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
	for _, c := range r.dns {
		c.Close()
	}
	for _, c := range r.udp {
		c.Close()
	}
	for _, f := range []*os.File{r.records, r.refused} {
		if f != nil {
			f.Close()
		}
	}
}
