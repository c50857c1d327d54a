package walls

// The control socket, seen from the first process.

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Send gives the first process at the other end of the socket its configuration.
func Send(socket int, c *Config) error {
	fd, err := c.memory()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendmsg(socket, []byte("config"), unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL); err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	return nil
}

type control struct{ fd int }

// openControl takes the control socket from its descriptor. It fails when the process was not
// started by a supervisor.
func openControl() (*control, error) {
	domain, err1 := unix.GetsockoptInt(ControlFD, unix.SOL_SOCKET, unix.SO_DOMAIN)
	typ, err2 := unix.GetsockoptInt(ControlFD, unix.SOL_SOCKET, unix.SO_TYPE)
	if err1 != nil || err2 != nil || domain != unix.AF_UNIX || typ != unix.SOCK_SEQPACKET || os.Getpid() != 1 && os.Getppid() != 1 {
		return nil, errors.New("this is the first process of a sandbox: weir starts it, it can't be started by hand")
	}
	unix.CloseOnExec(ControlFD)
	return &control{fd: ControlFD}, nil
}

// config waits for the configuration.
func (c *control) config() (*Config, error) {
	var b [64]byte
	oob := make([]byte, unix.CmsgSpace(4))
	n, on, _, _, err := unix.Recvmsg(c.fd, b[:], oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	if n == 0 {
		return nil, errors.New("the supervisor is gone")
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:on])
	if err != nil || len(msgs) != 1 {
		return nil, errors.New("the message brought no configuration")
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("the message brought no configuration")
	}
	// The descriptor stays open: Content points into the mapping, and exec ends both.
	var st unix.Stat_t
	if err := unix.Fstat(fds[0], &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	m, err := unix.Mmap(fds[0], 0, int(st.Size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return parseConfig(m)
}

// arrange puts the program's descriptors where the program expects them, from 3 on, and the
// control socket above them.
func (c *control) arrange(files int) error {
	above := ControlFD + 1 + files
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, above)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	unix.Close(c.fd)
	c.fd = fd
	for i := range files {
		from, to := ControlFD+1+i, ControlFD+i
		if err := unix.Dup3(from, to, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", to, err)
		}
		unix.Close(from)
	}
	return nil
}

// seal makes every descriptor but the program's own close at exec: those that the supervisor's
// own parent left open, and the Go runtime's.
func seal(files int) error {
	err := unix.CloseRange(uint(ControlFD+files), ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	return os.NewSyscallError("close_range", err)
}

// report sends r with its descriptors.
func (c *control) report(r *Report, fds []int) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(b) > maxReport {
		return errors.New("the report is too long")
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	return os.NewSyscallError("sendmsg", unix.Sendmsg(c.fd, b, oob, nil, unix.MSG_NOSIGNAL))
}

// ParseReport reads a message of the first process that brought n descriptors.
func ParseReport(b []byte, n int) (*Report, error) {
	r := new(Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("the sandbox's first process wrote nonsense: %v", err)
	}
	if len(r.FDs) != n {
		return nil, fmt.Errorf("the sandbox's first process sent %d descriptors and named %d", n, len(r.FDs))
	}
	return r, nil
}
