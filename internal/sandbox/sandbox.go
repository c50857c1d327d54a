// Package sandbox runs one program behind walls of the operating system: a Spec goes in, a
// confined process and the listeners that catch everything it sends come out. It works the same
// for root and for an ordinary user, and it refuses to start when a wall can't be raised.
//
// This package is the supervisor's half: it finds out what the program needs, starts the
// sandbox's first process, and watches it. What that first process does, wall by wall, is
// package walls. It must not know Node, HTTP or policies.
package sandbox

// What callers see: the Spec of a sandbox, its end, and the hook that makes a binary able to be
// the first process of one.

import (
	"os"
	"time"

	"github.com/weir-run/weir/internal/sandbox/walls"
	"github.com/weir-run/weir/internal/weir"
)

// Init must be called first in main, and in TestMain of every test that starts sandboxes. If this
// process was started as the first process of a sandbox, Init raises the walls, becomes the
// program and never returns; otherwise it does nothing.
func Init() {
	if len(os.Args) > 0 && os.Args[0] == walls.InitName {
		walls.Main()
	}
}

// Spec says what runs in a sandbox and what exists there. Everything it doesn't name doesn't
// exist inside: no file, no variable, no socket, no process of the host.
type Spec struct {
	// Name is for messages.
	Name string
	// Argv is the command line; Argv[0] is the absolute path of one of Programs. Env is the whole
	// environment, NAME=VALUE.
	Argv, Env []string
	// Files become the program's descriptors 3, 4, …; they stay the caller's to close.
	Files []*os.File
	// Stdout and Stderr are the program's; nil is /dev/null, as its standard input always is.
	Stdout, Stderr *os.File
	// Programs are the files the program itself consists of (absolute paths): readable and
	// executable inside, with the libraries they need.
	Programs []string
	// Exec are the programs that may be started as children, with their libraries or, for a
	// script, its interpreter. Without any, no child process can be started.
	Exec []string
	// Bundle is a directory of the host that becomes /var/task, read-only, the working directory.
	// Addons are native libraries in it (absolute paths of the host) that may be loaded; with
	// none, nothing in the bundle can be executed.
	Bundle string
	Addons []string
	// Content holds small files to create, by absolute path inside, read-only.
	Content map[string][]byte
	// Read and Write grant files of the host under their own path: an exact file or DIR/**. A
	// Write grant of /tmp/** or below means the private /tmp.
	Read, Write []string
	// Shared are grants like those in Write that others have. Links in what anybody may write are not
	// followed.
	Shared []string
	// Own are files of the host that decide what runs here and what it may: where one of them lies, or
	// would lie, no function may write.
	Own []string
	// LeftOut, if set, is told of each grant in Exec, Read and Write that can't be held because
	// nothing fitting is there: it is left out then. Without it, the start fails.
	LeftOut func(error)
	// Ports are the TCP ports that are caught where the kernel can't catch them all. Loopback are
	// the ports that are caught on 127.0.0.0/8 and ::1 as well; all others belong to the
	// function's own servers there.
	Ports, Loopback []uint16
	// UDPPorts are the ports to which datagrams are captured, on loopback addresses too. UDPAll captures
	// those to all others but loopback's, where the kernel can. Other datagrams are refused.
	UDPPorts []uint16
	UDPAll   bool
	// Zygote, if not zero, makes the program one that is forked for at most so many processes at a time:
	// see Process.Fork. Files is then its channel alone. It takes a Spec without Exec, Addons and UDP, and
	// one that has all of /tmp to write or nothing there.
	Zygote int
	// Reserve is how much writable memory the program maps without using it, besides its stacks, in
	// bytes. Where no cgroup bounds memory, it is allowed on top of the limit.
	Reserve int64
	// Limits bound memory, CPU, /tmp, processes and files. Zero fields mean the defaults.
	Limits weir.Limits
}

// Exit says how a sandbox ended.
type Exit struct {
	// Code is the exit status, -1 when a signal ended the program.
	Code int
	// Signal is the name of that signal ("SIGKILL"), or "". The program is the first process of its
	// namespace and can't be ended by a signal of its own: abort(3) then ends it by an invalid
	// instruction, which shows as SIGSEGV, SIGILL or SIGTRAP.
	Signal string
	// Cause is "memory" when the kernel killed the sandbox for going over its memory limit, else
	// "".
	Cause string
}

// Usage is what a sandbox used so far. Children that nobody waited for don't count any more once they
// have ended.
type Usage struct {
	CPU    time.Duration
	Memory int64 // bytes; without cgroups, of the program itself
}

// Attempt is one system call that the kernel refused and that is worth a record.
type Attempt struct {
	// Syscall is its name, with the telling argument where there is one: "clone",
	// "socket(AF_UNIX)".
	Syscall string
	// Pid is the thread that called, as the host numbers it.
	Pid int
}

// Wall is the state of one wall on this machine.
type Wall struct {
	Name   string `json:"name"`
	State  string `json:"state"` // InForce, Fallback or Missing
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// NetworkCapture is the Name of the wall that catches what a sandbox sends.
const NetworkCapture = walls.Capture

// Zygote is the Name of what Process.Fork takes.
const Zygote = walls.Forking

// The states of a wall.
const (
	InForce  = "in force"
	Fallback = "fallback" // replaced by something weaker that still holds
	Missing  = "missing"
)
