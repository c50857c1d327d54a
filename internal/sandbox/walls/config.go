package walls

// What the supervisor tells the first process, and how the two talk: one Config in a sealed
// memory file, then Reports with descriptors, then silence: the control socket closes when the
// program is executed.

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Config is everything the first process needs to know. Paths are clean and absolute.
type Config struct {
	Hostname  string
	Argv, Env []string
	Dir       string // working directory of the program
	Files     int    // descriptors beyond standard error, found after ControlFD

	CaptureAll bool     // catch every TCP port (nftables TPROXY), not only Ports
	Ports      []uint16 // without CaptureAll: the ports to listen on
	Loopback   []uint16 // ports to catch on loopback addresses too
	UDPPorts   []uint16 // ports to take datagrams at, besides 53
	UDPAll     bool     // with CaptureAll: take datagrams to every port
	UDPRecords bool     // with CaptureAll: the supervisor is told of datagrams that are refused

	Binds   []Bind // parents before what lies in them
	Content []File
	Procfs  bool // mount the process's own part of /proc

	TmpSize     int64    // bytes of /tmp
	TmpWritable []string // /tmp, or paths below it: directories end in "/", files don't
	CPUs        int      // processors that /proc shows
	Memory      int64    // bytes of memory that /proc shows

	Execute []string // what may be executed
	Fork    bool     // child processes may be started
	Records bool     // the supervisor answers and records some refused system calls
	Sysctls bool     // the namespaces' own sysctls bound what the kernel holds for the sandbox

	Rlimits []Rlimit
	Data    uint64 // RLIMIT_DATA, bytes; 0: none
	Pinned  []int  // processors to run on; nil: all

	// Slots makes the program a zygote: it is forked for at most so many children at a time, all of
	// which these walls hold and a gate keeps apart. It takes CaptureAll, Procfs and Records. 0: it
	// runs by itself. Inner marks the configuration of the process that becomes the zygote: the gate
	// has raised the walls that both share.
	Slots int
	Inner bool

	// Probe tries every wall, reports all that failed instead of the first, and executes nothing.
	Probe bool
}

// zygote tells whether the program is really to be forked.
func (c *Config) zygote() bool { return c.Slots > 0 && !c.Probe }

// Bind is a file or directory of the host that appears in the sandbox.
type Bind struct {
	Source, Target string
	Wall           string // whom to name if it can't be had: Mounts, Grants or Program
	Exec, Write    bool
	Device         bool
	NoLinks        bool // Source holds none, and what has become one since is refused
}

// File is a file to create. Data is not part of the JSON: it follows it.
type File struct {
	Path string
	Size int
	Data []byte `json:"-"`
}

// Rlimit is one limit of setrlimit(2), soft and hard.
type Rlimit struct {
	Resource int
	Value    uint64
}

// Failure is a wall that can't be raised, or a path that can't be had.
type Failure struct {
	Wall  string
	What  string // what was tried, with the path or name it was about
	Errno int    // 0: Text alone says why
	Text  string
}

// Error gives "wall: what: why".
func (f *Failure) Error() string { return f.Wall + ": " + f.What + ": " + f.Text }

// Unwrap gives the errno, if there is one.
func (f *Failure) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return unix.Errno(f.Errno)
}

func failure(wall, what string, err error) *Failure {
	f := &Failure{Wall: wall, What: what, Text: err.Error()}
	var errno unix.Errno
	if errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	return f
}

// Report is what the first process says. Several may come; the last has Done or Failures, except
// that a failure to execute the program can still follow Done.
type Report struct {
	FDs      []string // what the descriptors that came along are
	Failures []Failure
	Landlock int  // ABI in force
	IPv6     bool // this machine has IPv6
	Done     bool // every wall stands
}

// What a descriptor of a Report is.
const (
	FDTCP     = "tcp"
	FDDNS4    = "dns4"
	FDDNS6    = "dns6"
	FDUDP4    = "udp4" // datagrams to one port
	FDUDP6    = "udp6"
	FDAll4    = "all4" // datagrams to all other ports; an FDRaw follows
	FDAll6    = "all6"
	FDRaw     = "raw" // answers those
	FDRecords = "records"
	FDRefused = "refused" // tells of refused datagrams: see ParseRefused
)

// maxReport bounds a Report on the wire, in bytes.
const maxReport = 64 << 10

// MaxFDs bounds the descriptors of one message (SCM_MAX_FD of the kernel is 253).
const MaxFDs = 200

// memory writes c into a sealed memory file: 8 bytes length of the JSON, the JSON, the contents
// of the files.
func (c *Config) memory() (fd int, err error) {
	for i := range c.Content {
		c.Content[i].Size = len(c.Content[i].Data)
	}
	head, err := json.Marshal(c)
	if err != nil {
		return -1, err
	}
	fd, err = unix.MemfdCreate("weir-config", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	parts := [][]byte{append(b, head...)}
	for _, f := range c.Content {
		parts = append(parts, f.Data)
	}
	for _, p := range parts {
		for len(p) > 0 {
			n, err := unix.Write(fd, p)
			if err != nil {
				unix.Close(fd)
				return -1, os.NewSyscallError("write", err)
			}
			p = p[n:]
		}
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("sealing the configuration", err)
	}
	return fd, nil
}

// parseConfig reads what memory wrote.
func parseConfig(b []byte) (*Config, error) {
	if len(b) < 8 {
		return nil, errors.New("the configuration is cut short")
	}
	n := binary.LittleEndian.Uint64(b)
	b = b[8:]
	if n > uint64(len(b)) {
		return nil, errors.New("the configuration is cut short")
	}
	c := new(Config)
	if err := json.Unmarshal(b[:n], c); err != nil {
		return nil, fmt.Errorf("the configuration can't be read: %v", err)
	}
	b = b[n:]
	for i := range c.Content {
		f := &c.Content[i]
		if f.Size < 0 || f.Size > len(b) {
			return nil, fmt.Errorf("the content of %s is cut short", f.Path)
		}
		f.Data, b = b[:f.Size:f.Size], b[f.Size:]
	}
	return c, nil
}
