// Package walls is what the first process of a sandbox does, wall by wall: network, mounts,
// limits, Landlock, seccomp; then it becomes the program. It runs with the privileges of its own
// user namespace only, is configured once over a socket, and stops at the first wall that can't
// be raised. It must not know the rest of Weir: it stays small, and nothing secret is in it.
package walls

// InitName is argv[0] of a process that is to be the first one of a sandbox.
const InitName = "weir-init"

// ControlFD is the descriptor at which that process finds its control socket (unix, SEQPACKET).
// The program's own descriptors follow it.
const ControlFD = 3

// The walls, as failures and reports name them.
const (
	Namespaces = "user namespaces"
	Network    = "network"
	Capture    = "network capture"
	Mounts     = "private root"
	Procfs     = "procfs"
	Grants     = "files" // a path that the caller named can't be put into the root
	Resources  = "resource limits"
	Privileges = "privileges"
	Landlock   = "Landlock"
	Seccomp    = "seccomp"
	Records    = "system call records"
	Sysctls    = "kernel memory" // bounded by sysctls of the sandbox's own namespaces
	UDPRecords = "datagram records"
	Forking    = "zygote" // keeps the processes apart that are forked from one
	Program    = "program"
)
