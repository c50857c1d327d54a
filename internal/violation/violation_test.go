package violation

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/record"
)

// The texts are those of Intrinsic's documentation, word for word.
func TestLines(t *testing.T) {
	for _, c := range []struct {
		d    record.Decision
		want string
	}{
		{record.Decision{Kind: "http", Method: "GET", Target: "http://example.com/"},
			"[INTRINSIC] OutboundHttpPolicyViolation: POLICY_VIOLATION sb: \"0\"\n  | [GET] http://example.com/ not in outbound http whitelist"},
		{record.Decision{Kind: "http", Method: "DELETE", Target: "http://example.com/", Count: 3},
			"[INTRINSIC] OutboundHttpPolicyViolation: POLICY_VIOLATION sb: \"0\"\n  | [DELETE] http://example.com/ not in outbound http whitelist (3 times more)"},
		{record.Decision{Kind: "http", Target: "https://example.com"},
			"[INTRINSIC] OutboundHttpPolicyViolation: POLICY_VIOLATION sb: \"0\"\n  | https://example.com not in outbound http whitelist"},
		{record.Decision{Kind: "ws", Method: "GET", Target: "wss://example.com/"},
			"[INTRINSIC] OutboundHttpPolicyViolation: POLICY_VIOLATION sb: \"0\"\n  | [GET] wss://example.com/ not in outbound http whitelist"},
		{record.Decision{Kind: "tcp", Target: "example.com:3000"},
			"[INTRINSIC] OutboundHostAndPortNetPolicyViolation: POLICY_VIOLATION sb: \"0\"\n  | tcp://example.com:3000 is not in the outbound net whitelist"},
		{record.Decision{Kind: "udp", Target: "example.com:3000"},
			"[INTRINSIC] OutboundHostAndPortNetPolicyViolation: POLICY_VIOLATION sb: \"0\"\n  | udp://example.com:3000 is not in the outbound net whitelist"},
		{record.Decision{Kind: "syscall", Target: "socket(AF_UNIX)"},
			"[INTRINSIC] OutboundPathNetPolicyViolation: POLICY_VIOLATION sb: \"0\"\n  | tcp://(a unix socket) is not in the outbound net whitelist"},
		{record.Decision{Kind: "syscall", Target: "process.kill"},
			"[INTRINSIC] ProcessPolicyViolation: POLICY_VIOLATION sb: \"0\"\n  | process.kill not in process whitelist"},
		{record.Decision{Kind: "exec", Target: "/usr/bin/cal"},
			"[INTRINSIC] ChildProcessPolicyViolation: POLICY_VIOLATION sb: \"fallback\"\n  | command: \"/usr/bin/cal\" not found in ChildProcessPolicy whitelist"},
		{record.Decision{Kind: "read", Target: "/tmp/hello.txt", Call: "open"}, "[INTRINSIC] fs: Can't read from file at /tmp/hello.txt"},
		{record.Decision{Kind: "read", Target: "/tmp/hello.txt"}, "[INTRINSIC] fs: Can't read from file at /tmp/hello.txt"},
		{record.Decision{Kind: "read", Target: "/tmp/hello", Call: "scandir"}, "[INTRINSIC] fs: Can't read contents of directory /tmp/hello"},
		{record.Decision{Kind: "read", Target: "/tmp/hello.txt", Call: "stat"}, "[INTRINSIC] fs: Can't stat file at /tmp/hello.txt"},
		{record.Decision{Kind: "write", Target: "/tmp/hello.txt"}, "[INTRINSIC] fs: Can't write to file at /tmp/hello.txt"},
		{record.Decision{Kind: "dns", Target: "TXT example.com"}, ""},
		{record.Decision{Kind: "addon", Target: "/var/task/x.node"}, ""},
	} {
		c.d.Verdict = record.Deny
		if got := strings.Join(Lines(c.d), "\n"); got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.d, got, c.want)
		}
		c.d.Mode = record.Monitor
		if got, want := strings.Join(Lines(c.d), "\n"), strings.Replace(c.want, "[INTRINSIC]", "[INTRINSIC (MONITOR)]", 1); got != want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.d, got, want)
		}
		c.d.Verdict = record.Allow
		if got := Lines(c.d); got != nil {
			t.Errorf("what was allowed is told: %q", got)
		}
	}
}
