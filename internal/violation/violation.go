// Package violation words denials as Intrinsic's log did, line for line, for those who watch for these
// texts. It must not know who denies, nor why: records go in, lines come out.
package violation

import (
	"fmt"

	"github.com/weir-run/weir/internal/record"
)

// Lines gives the lines of a denial, none if Intrinsic had no word for it: it knew no policy for DNS, and
// native libraries failed in their own words. What was only monitored has Intrinsic's other prefix. A
// record that stands for many says so at its end.
func Lines(d record.Decision) []string {
	if d.Verdict != record.Deny {
		return nil
	}
	lines := words(d)
	if len(lines) == 0 {
		return nil
	}
	prefix := "[INTRINSIC] "
	if d.Mode == record.Monitor {
		prefix = "[INTRINSIC (MONITOR)] "
	}
	lines[0] = prefix + lines[0]
	if d.Count > 0 {
		lines[len(lines)-1] += fmt.Sprintf(" (%d times more)", d.Count)
	}
	return lines
}

// words gives the lines without the prefix. Intrinsic named its sandboxes, of which a Lambda function
// had one; the names are those that its documentation shows.
func words(d record.Decision) []string {
	switch d.Kind {
	case "http", "ws":
		tried := d.Target
		if d.Method != "" {
			tried = "[" + d.Method + "] " + tried
		}
		return violation("OutboundHttp", "0", tried+" not in outbound http whitelist")
	case "tcp", "tls":
		return violation("OutboundHostAndPortNet", "0", "tcp://"+d.Target+" is not in the outbound net whitelist")
	case "udp":
		return violation("OutboundHostAndPortNet", "0", "udp://"+d.Target+" is not in the outbound net whitelist")
	case "exec":
		return violation("ChildProcess", "fallback", fmt.Sprintf("command: \"%s\" not found in ChildProcessPolicy whitelist", d.Target))
	case "syscall":
		if d.Target == unixSocket {
			return violation("OutboundPathNet", "0", "tcp://(a unix socket) is not in the outbound net whitelist")
		}
		return violation("Process", "0", d.Target+" not in process whitelist")
	case "write":
		return []string{"fs: Can't write to file at " + d.Target}
	case "read":
		return []string{reading(d.Call) + d.Target}
	}
	return nil
}

// unixSocket is the target of a record that says a unix socket was tried. The kernel does not tell its
// path.
const unixSocket = "socket(AF_UNIX)"

func violation(policy, sandbox, what string) []string {
	return []string{policy + "PolicyViolation: POLICY_VIOLATION sb: \"" + sandbox + "\"", "  | " + what}
}

// reading puts the system call by which a file was asked for into words.
func reading(call string) string {
	switch call {
	case "scandir", "opendir":
		return "fs: Can't read contents of directory "
	case "access", "stat", "lstat":
		return "fs: Can't stat file at "
	}
	return "fs: Can't read from file at "
}
