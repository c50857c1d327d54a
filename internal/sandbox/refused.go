package sandbox

// Datagrams that the kernel refused: it tells of each before the sender hears of it.

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
)

// refused hears of the refused datagrams of one sandbox.
type refused struct {
	fd  *os.File // nil where the kernel doesn't tell
	out chan netip.AddrPort
	// child takes those of a zygote's children, by their mark; nil if the program is no zygote.
	child func(mark uint32, to netip.AddrPort) bool
}

// follow hears of them until stop.
func (r *refused) follow() {
	defer close(r.out)
	if r.fd == nil {
		return
	}
	defer r.fd.Close()
	b := make([]byte, 16<<10)
	for {
		n, err := r.fd.Read(b)
		if err != nil {
			break
		}
		r.tell(b[:n])
	}
	raw, err := r.fd.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { // what was told before the end
		for {
			n, err := unix.Read(int(fd), b)
			if err != nil || n == 0 {
				return
			}
			r.tell(b[:n])
		}
	})
}

func (r *refused) tell(message []byte) {
	for _, d := range walls.ParseRefused(message) {
		if r.child != nil && r.child(d.Mark, d.To) {
			continue
		}
		select {
		case r.out <- d.To:
		default:
		}
	}
}

// stop has follow read what is there and end.
func (r *refused) stop() {
	if r.fd != nil {
		r.fd.SetReadDeadline(time.Unix(1, 0))
	}
}
