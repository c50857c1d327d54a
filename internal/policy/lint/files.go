package lint

// Rules about files and programs of the host.

import (
	"path"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/policy"
)

// Places of a host that hold other people's secrets, or so much that some will. wide is wide only as a
// whole: one file in it, or a folder of its own, is not.
var (
	secretPlaces = []string{"/root", "/etc/shadow", "/etc/gshadow", "/etc/ssh", "/etc/ssl/private", "/etc/sudoers", "/etc/sudoers.d", "/etc/kubernetes",
		"/var/run/secrets", "/run/secrets", "/var/lib/docker", "/var/run/docker.sock", "/run/docker.sock", "/var/lib/kubelet", "/var/spool/cron", "/boot"}
	secretNames = []string{".ssh", ".aws", ".gnupg", ".npmrc", ".netrc", ".docker", ".kube", ".config", ".git-credentials", ".env", ".azure", ".pgpass", "id_rsa", "id_ed25519"}
	widePlaces  = []string{"/etc", "/home", "/var", "/usr", "/opt", "/srv", "/mnt", "/media", "/run", "/var/run", "/var/lib", "/var/log", "/var/www"}
)

// interpreters are programs that do whatever their arguments say, so that allowing one allows all of it.
var interpreters = []string{"sh", "bash", "dash", "zsh", "ksh", "fish", "csh", "tcsh", "ash", "busybox", "toybox", "pwsh",
	"node", "nodejs", "deno", "bun", "npm", "npx", "yarn", "pnpm", "python", "perl", "ruby", "php", "lua", "luajit", "tclsh", "java", "jshell", "awk", "gawk", "mawk", "sed",
	"curl", "wget", "nc", "ncat", "netcat", "socat", "telnet", "ssh", "scp", "sftp", "rsync", "ftp", "git", "openssl",
	"env", "xargs", "find", "sudo", "su", "doas", "setsid", "nohup", "timeout", "nice", "script", "strace", "gdb", "make", "gcc", "cc", "go", "docker", "systemd-run", "vim", "vi", "ed", "tar"}

func aboutRead(r *policy.Rule) []Finding {
	dir, deep := strings.CutSuffix(r.Pattern, "/**")
	secret := slices.ContainsFunc(secretPlaces, func(p string) bool { return inside(dir, p) || deep && inside(p, dir) }) ||
		slices.ContainsFunc(strings.Split(dir, "/"), func(s string) bool { return slices.Contains(secretNames, s) })
	home := deep && path.Dir(dir) == "/home"
	switch {
	case secret:
		return []Finding{{ID: WideRead, Text: "opens a place where secrets of the host lie", Remedy: "name the very files that the function needs"}}
	case home || deep && slices.Contains(widePlaces, dir):
		return []Finding{{ID: WideRead, Text: "opens far more than one function needs", Remedy: "name the files, or a directory of their own"}}
	}
	return nil
}

func aboutWrite(r *policy.Rule) []Finding {
	if inside(strings.TrimSuffix(r.Pattern, "/**"), "/tmp") {
		return nil
	}
	return []Finding{{ID: WriteOut, Text: "lets the function change files of the host, which outlive it", Remedy: "write to /tmp, or keep results in a service"}}
}

func aboutExec(r *policy.Rule) []Finding {
	name := path.Base(r.Pattern)
	plain := strings.TrimRight(name, "0123456789.-") // python3.12
	if !slices.Contains(interpreters, name) && !slices.Contains(interpreters, plain) {
		return nil
	}
	return []Finding{{ID: Shell, Text: "starts a program that does whatever it is told to", Remedy: "name the program that is needed in the end"}}
}

// inside tells whether p is dir or lies below it.
func inside(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
