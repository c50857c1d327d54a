package walls

// The files that exist in every sandbox: what the C library reads to resolve names and users, the
// devices' usual links, and a /proc that answers what programs ask about the machine without
// showing the machine.

import (
	"fmt"
	"os"
	"strings"
)

// Nameserver is the resolver that /etc/resolv.conf names. Any address would do: port 53 of every
// address is answered by the supervisor. It lies in 198.18.0.0/15 (RFC 2544), which no host has.
const Nameserver = "198.18.0.1"

// uid is the only user inside.
const uid = 1000

func (r *raiser) fill() error {
	for _, d := range []string{"/proc", realProc, "/etc", "/dev", r.cfg.Dir} {
		if err := os.MkdirAll(scaffold+d, 0o755); err != nil {
			return err
		}
	}
	for _, f := range r.cfg.Content {
		if err := writeFile(scaffold+f.Path, f.Data); err != nil {
			return err
		}
	}
	files := map[string]string{
		"/etc/resolv.conf":   "nameserver " + Nameserver + "\noptions timeout:2 attempts:2\n",
		"/etc/hosts":         "127.0.0.1 localhost " + r.cfg.Hostname + "\n::1 localhost\n",
		"/etc/hostname":      r.cfg.Hostname + "\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"/etc/passwd":        fmt.Sprintf("root:x:0:0::/:/sbin/nologin\nfunction:x:%d:%d::/tmp:/sbin/nologin\n", uid, uid),
		"/etc/group":         fmt.Sprintf("root:x:0:\nfunction:x:%d:\n", uid),
	}
	for p, text := range files {
		if err := writeFile(scaffold+p, []byte(text)); err != nil {
			return err
		}
	}
	return r.fillProc()
}

// fillProc makes /proc of a few files about a machine of the size of the limits. What a process
// may know of itself is the real thing: it is mounted elsewhere, because the rest of such a mount
// would show the machine, and self and thread-self lead there.
func (r *raiser) fillProc() error {
	var cpuinfo, stat strings.Builder
	stat.WriteString("cpu  0 0 0 0 0 0 0 0 0 0\n")
	for i := range r.cfg.CPUs {
		fmt.Fprintf(&cpuinfo, "processor\t: %d\nmodel name\t: virtual\ncpu MHz\t\t: 1000.000\n\n", i)
		fmt.Fprintf(&stat, "cpu%d 0 0 0 0 0 0 0 0 0 0\n", i)
	}
	stat.WriteString("btime 0\n")
	kb := r.cfg.Memory >> 10
	files := map[string]string{
		"cpuinfo": cpuinfo.String(),
		"stat":    stat.String(),
		"meminfo": fmt.Sprintf("MemTotal:       %d kB\nMemFree:        %d kB\nMemAvailable:   %d kB\n", kb, kb, kb),
		"version": "Linux version 0\n",
		"loadavg": "0.00 0.00 0.00 1/1 1\n",
	}
	for name, text := range files {
		if err := writeFile(scaffold+"/proc/"+name, []byte(text)); err != nil {
			return err
		}
	}
	if !r.cfg.Procfs {
		return nil
	}
	links := map[string]string{
		"/proc/self":        realProc + "/self",
		"/proc/thread-self": realProc + "/thread-self",
		"/dev/fd":           "/proc/self/fd",
		"/dev/stdin":        "/proc/self/fd/0",
		"/dev/stdout":       "/proc/self/fd/1",
		"/dev/stderr":       "/proc/self/fd/2",
	}
	for p, to := range links {
		if err := os.Symlink(to, scaffold+p); err != nil {
			return err
		}
	}
	return nil
}
