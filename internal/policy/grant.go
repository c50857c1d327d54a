// This file exists because grants on the host (files, programs, variables, connections) must be what
// the kernel can hold, and nothing that would open the sandbox itself.

package policy

import (
	"path"
	"strings"
)

// Paths inside the sandbox that the product gives by itself.
const (
	bundleDir = "/var/task" // always readable, never writable
	tmpDir    = "/tmp"      // always readable, writable by rule, never executable
)

// ownDirs belong to the sandbox: a rule can't replace what it mounts there.
var ownDirs = []string{"/proc", "/sys", "/dev"}

// below tells whether p is dir or lies in it.
func below(p, dir string) bool {
	return strings.HasPrefix(p, dir) && (len(p) == len(dir) || p[len(dir)] == '/' || dir == "/")
}

// fileRule is a compiled rule for files: exactly path, or, if deep, path and all below it.
type fileRule struct {
	path string
	deep bool
}

func (f fileRule) String() string {
	if f.deep {
		return f.path + "/**"
	}
	return f.path
}

const fileRemedy = "write an absolute path of one file, or DIR/** for a directory and all below it"

func parseFileRule(r *Rule) (fileRule, error) {
	var f fileRule
	f.path, f.deep = strings.CutSuffix(r.Pattern, "/**")
	if f.deep && f.path == "" || r.Pattern == "/" {
		return f, invalid("name the directories", "%s would open the whole host", r.Pattern)
	}
	dir, isDir := strings.CutSuffix(strings.TrimSuffix(r.Pattern, "*"), "/")
	if isDir && checkPath(dir, "") == nil && !strings.ContainsAny(dir, "*?[]{}") {
		return f, invalid("write "+quote(dir+"/**")+" for all below the directory", "%q is neither a file nor DIR/**", r.Pattern)
	}
	remedy := fileRemedy
	if r.Kind == Read && !strings.HasPrefix(f.path, "~") {
		remedy += "; files of the bundle need no rule"
	}
	if err := checkPath(f.path, remedy); err != nil {
		return f, err
	}
	switch {
	case strings.ContainsAny(f.path, "*?[]{}"):
		return f, invalid(fileRemedy, "%q has a wildcard that the kernel can't hold", r.Pattern)
	case r.Kind == Write && f == fileRule{path: tmpDir}:
		return f, invalid("write "+quote(tmpDir+"/**"), "%s is a directory, and this rule would be about a file of that name", tmpDir)
	case r.Kind == Write && below(f.path, bundleDir):
		return f, invalid("write to /tmp instead, which needs a rule for /tmp/**", "%s is the bundle, which is never writable", bundleDir)
	}
	for _, own := range ownDirs {
		if below(f.path, own) {
			return f, invalid("", "%s belongs to the sandbox and can't be opened", own)
		}
	}
	return f, nil
}

func parseExecRule(r *Rule) error {
	program, _, arguments := strings.Cut(r.Pattern, " -")
	if arguments {
		return invalid("write the absolute path of "+quote(program)+" alone", "a program is named without arguments")
	}
	remedy := "write the absolute path of the program"
	if r.Pattern != "" && !strings.ContainsAny(r.Pattern, "/*?[]{}") {
		remedy += ", such as " + quote("/usr/bin/"+r.Pattern)
	}
	if err := checkPath(r.Pattern, remedy); err != nil {
		return err
	}
	if r.Pattern == "/" {
		return invalid(remedy, "/ is not a program")
	}
	if strings.ContainsAny(r.Pattern, "*?[]{}") {
		return invalid("write the absolute path of each program", "%q has a wildcard; programs are exact", r.Pattern)
	}
	for _, dir := range append([]string{bundleDir, tmpDir}, ownDirs...) {
		if below(r.Pattern, dir) {
			return invalid("name a program of the host, such as /usr/bin/convert", "nothing below %s can be started", dir)
		}
	}
	return nil
}

// maxPathName is the longest path that Linux takes, in bytes (PATH_MAX, without the final NUL).
const maxPathName = 4095

func checkPath(p, remedy string) error {
	switch {
	case len(p) > maxPathName:
		return invalid("", "a path has at most %d bytes", maxPathName)
	case !strings.HasPrefix(p, "/"):
		return invalid(remedy, "%q is not an absolute path", p)
	case strings.IndexFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		return invalid(remedy, "%q holds a control character", p)
	case path.Clean(p) != p:
		return invalid("write "+quote(path.Clean(p)), "%q is not a clean path", p)
	}
	return nil
}

// Variables that steer a process or that the platform sets: whoever could set them could loosen
// the walls from outside or inside. A name that ends with "*" is a prefix.
var reserved = []string{
	"PATH", "HOME", "TMPDIR", "PWD", "SHELL", "IFS", "ENV", "BASH_*", "SHELLOPTS", "BASHOPTS", "PS4",
	"NODE_*", "UV_*", "LD_*", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH", "MALLOC_*",
	"HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS",
	"SSL_CERT_*", "SSLKEYLOGFILE", "OPENSSL_*",
	"PYTHON*", "PERL5*", "PERLLIB", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS",
	"GIT_*", "npm_*", "NPM_CONFIG_*",
	"LAMBDA_*", "_HANDLER", "_X_AMZN_*", "AWS_LAMBDA_*", "AWS_EXECUTION_ENV", "WEIR_*",
}

// parseEnvRule takes NODE_ENV although NODE_* is reserved: libraries read it, Node itself does not.
func parseEnvRule(r *Rule) error {
	name := r.Pattern
	if bare, _, value := strings.Cut(name, "="); value { // which may be a secret, so it is not repeated
		return invalid("write "+quote(bare)+"; its value belongs in the site's environment", "a variable is named without its value")
	}
	if bare := strings.TrimPrefix(strings.TrimLeft(name, "$"), "process.env."); bare != name && parseEnvRule(&Rule{Pattern: bare}) == nil {
		return invalid("write "+quote(bare), "%q is not the name of a variable", name)
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isAlnum(c) && c != '_' || i == 0 && c <= '9' {
			return invalid("name each variable; letters, digits and _ make a name", "%q is not the name of a variable", name)
		}
	}
	if name == "" {
		return invalid("name a variable", "the name of a variable is empty")
	}
	for _, r := range reserved {
		prefix, isPrefix := strings.CutSuffix(r, "*")
		if (name == r || isPrefix && strings.HasPrefix(name, prefix)) && name != "NODE_ENV" {
			return invalid("give the variable another name", "%s is reserved: it steers the process or is set by the platform", name)
		}
	}
	return nil
}

// hostPort is a compiled tcp or udp rule.
type hostPort struct {
	rule int
	host hostPattern
	port uint16
}

func parseHostPort(r *Rule) (hostPort, error) {
	if scheme, rest, ok := strings.Cut(r.Pattern, "://"); ok {
		authority, _, _ := strings.Cut(rest, "/")
		authority = authority[strings.LastIndexByte(authority, '@')+1:] // before it, a password may stand
		remedy := "write " + quote(authority)
		if _, port, err := parseAuthority(authority, false); err != nil || port == 0 {
			remedy += " with a port"
		}
		if schemeOf(scheme) != 0 {
			remedy += ", or a rule under http"
		}
		return hostPort{}, invalid(remedy, "a %s rule is a host and a port, not a URL", r.Kind)
	}
	if host, _, ok := strings.Cut(r.Pattern, "/"); ok {
		return hostPort{}, invalid("write "+quote(host)+" with a port", "a %s rule has no path", r.Kind)
	}
	if f := strings.Fields(r.Pattern); len(f) == 2 {
		return hostPort{}, invalid("write "+quote(strings.TrimRight(f[0], ":")+":"+f[1]), "a %s rule is written without spaces", r.Kind)
	}
	host, port, err := parseAuthority(r.Pattern, false)
	if err != nil {
		return hostPort{}, err
	}
	if port == 0 {
		example := map[Kind]string{TCP: "db.internal:5432", UDP: "stats.internal:8125"}[r.Kind]
		return hostPort{}, invalid(`write "HOST:PORT", such as `+quote(example), "the port of %q is missing", r.Pattern)
	}
	return hostPort{host: host, port: port}, nil
}
