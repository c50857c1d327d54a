package learn

// What deserves a second look. Calls of a hijacked package stand in the records beside the function's
// own; what tells them apart is who names the host: the function's own code and variables, or nobody but a
// package. The other signs are those that thieves left in past attacks.

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/policy"
)

// Sources says what a function's own code names; packages are not its own.
type Sources interface {
	// Host gives the file that names a host, "" if none does.
	Host(host string) string
	// Word tells whether a file holds a name, such as a variable's.
	Word(name string) bool
	// Path tells whether a file names a path of the host machine, or the folder that holds it.
	Path(path string) bool
}

// judge knows what is common to all functions.
type judge struct {
	of      func(function string) Sources // nil: there are none to be asked
	sources Sources                       // of the function that is judged
	known   map[string]Sources
	exists  func(path string) bool
	hosts   []string // the best known first
	rank    map[string]int
}

// about turns to another function.
func (j *judge) about(function string) {
	if j.of == nil {
		return
	}
	s, known := j.known[function]
	if !known {
		s = j.of(function)
		j.known[function] = s
	}
	j.sources = s
}

// wideVariety is in how many invocations words that were many must have been seen.
const wideVariety = 3

// call is what is judged.
type call struct {
	kind    policy.Kind
	scheme  string // HTTP, WS
	typ     string // DNS
	host    string
	port    uint16
	path    string // files, programs, variables
	various bool
	widens  bool
	known   bool // the function's policy names this host already
	of      int  // invocations of the function
	*evidence
}

// reasons says why a call deserves a second look; none if it doesn't.
func (j *judge) reasons(c *call) []string {
	var why []string
	if c.enforced == c.calls {
		why = append(why, "it was denied whenever it was tried")
	}
	switch c.kind {
	case policy.Exec:
		return append(why, "a program can do all that its options let it")
	case policy.Write:
		if c.path != "/tmp/**" {
			why = append(why, "it writes outside /tmp")
		}
		return append(why, c.atImport()...)
	case policy.Read:
		return append(why, j.file(c)...)
	case policy.Env:
		if j.sources != nil && !j.sources.Word(c.path) {
			why = append(why, "only packages read it: no file of the function's own names it")
		}
		return why
	case policy.Addon:
		if c.once() && c.imported == 0 {
			why = append(why, fmt.Sprintf("in one of %d invocations only, and not while the function was imported", c.of))
		}
		return why
	}
	return append(why, j.network(c)...)
}

func (c *call) atImport() []string {
	if c.imported < c.calls {
		return nil
	}
	return []string{"only while the function was imported, before any request"}
}

func (j *judge) network(c *call) []string {
	why := j.address(c)
	if r := policy.Rented(c.host); r != "" {
		why = append(why, r)
	}
	why = append(why, c.atImport()...)
	if c.various && c.distinct < wideVariety {
		why = append(why, "many different paths in few invocations")
	}
	if c.widens {
		why = append(why, "wider than what the other invocations did, and one alone did it")
	}
	switch {
	case j.namedBy(c) == "":
		why = append(append(why, odd(c)...), j.stranger(c)...)
	case c.once() && !(j.sources != nil && j.sources.Word(strconv.Itoa(int(c.port)))):
		why = append(why, odd(c)...) // the host is the function's, but who says what is spoken with it
	}
	return why
}

// once tells whether one invocation of several alone tried it.
func (c *call) once() bool { return c.alone() && c.of > 1 }

// odd judges how a host is spoken with.
func odd(c *call) []string {
	var why []string
	if !usualPort(c) {
		why = append(why, fmt.Sprintf("port %d is not a usual one", c.port))
	}
	if c.scheme == "http" || c.scheme == "ws" {
		why = append(why, "it is not encrypted")
	}
	return why
}

// stranger judges a host that the function's own code doesn't name.
func (j *judge) stranger(c *call) []string {
	var why []string
	trusted := j.hosts[:min(len(j.hosts), j.rank[c.host])]
	if t := policy.LookAlike(c.host, trusted); t != "" {
		why = append(why, "it looks like "+t)
	}
	for _, label := range strings.Split(c.host, ".") {
		if strings.HasPrefix(label, "xn--") {
			why = append(why, "its name holds letters that may look like others (punycode)")
		}
	}
	if disguised(c.host) != c.host {
		why = append(why, "its name may carry data")
	}
	if c.long {
		why = append(why, "its path may carry data")
	}
	if c.kind == policy.DNS && c.typ == "TXT" {
		why = append(why, "questions for texts can carry data both ways")
	}
	if c.allowed > 0 {
		return why
	}
	switch {
	case c.known:
		why = append(why, "the policy names this host, but not this use of it")
	case policy.WellKnown(c.host):
	case c.named != "":
		why = append(why, "only the variable "+c.named+" names this host, and no file of the function's own reads it")
	case j.sources != nil:
		why = append(why, "no file or variable of the function's own names this host")
	}
	if c.distinct == 1 && c.of > 1 && !policy.WellKnown(c.host) {
		why = append(why, fmt.Sprintf("in one of %d invocations only", c.of))
	}
	return why
}

// namedBy says which file of the function's own, or variable that such a file reads, names the host, "" if
// none does.
func (j *judge) namedBy(c *call) string {
	if c.named != "" && (j.sources == nil || j.sources.Word(c.named)) {
		return "the variable " + c.named
	}
	host := c.host
	for c.kind == policy.DNS && strings.HasPrefix(host, "_") {
		_, host, _ = strings.Cut(host, ".") // _mongodb._tcp.cluster0.example.net
	}
	if j.sources == nil {
		return ""
	}
	return j.sources.Host(host)
}

// address judges what is no name of a host outside.
func (j *judge) address(c *call) []string {
	a, err := netip.ParseAddr(c.host)
	switch {
	case err == nil && (a == netip.AddrFrom4([4]byte{169, 254, 169, 254}) || a == netip.AddrFrom4([4]byte{169, 254, 170, 2}) || a.String() == "fd00:ec2::254"),
		c.host == "metadata.google.internal", c.host == "metadata", c.host == "instance-data":
		return []string{"it is the cloud's metadata service, which hands out credentials"}
	case err == nil && (a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified()), c.host == "localhost", strings.HasSuffix(c.host, ".localhost"):
		return []string{"it is an address of this machine or of the network around it"}
	case err == nil:
		return []string{"it is a bare address: no name says whose"}
	case !strings.Contains(c.host, ".") && j.namedBy(c) == "":
		return []string{"it is a name of the network around this machine"}
	}
	return nil
}

// usualPorts are those of protocols that functions speak.
var usualPorts = map[policy.Kind][]uint16{
	policy.TCP: {25, 443, 465, 587, 1433, 1521, 2525, 3306, 5432, 5433, 5671, 5672, 6379, 6380, 6432, 6543, 8883, 9042, 9092, 9093, 9094, 9096, 11211, 27017, 27018, 27019},
	policy.UDP: {123, 514, 8125},
}

func usualPort(c *call) bool {
	switch c.kind {
	case policy.HTTP, policy.WS:
		return c.port == 80 || c.port == 443
	case policy.DNS:
		return true
	}
	return slices.Contains(usualPorts[c.kind], c.port)
}

// disguised gives a host without the labels that look like data.
func disguised(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	labels := strings.Split(host, ".")
	for i, l := range labels {
		if carriesData(l) {
			labels[i] = "…"
		}
	}
	return strings.Join(labels, ".")
}

func (j *judge) file(c *call) []string {
	why := c.atImport()
	if secretive(c.path) {
		why = append(why, "files of this name hold credentials or tell of the machine")
	}
	if j.exists != nil && !j.exists(c.path) {
		why = append(why, "there is no such file on this machine")
	}
	switch {
	case j.sources != nil && !j.sources.Path(c.path):
		why = append(why, "no file of the function's own names it")
	case j.sources == nil && c.distinct == 1 && c.of > 1:
		why = append(why, fmt.Sprintf("in one of %d invocations only", c.of))
	}
	return why
}

// secretive tells whether a path is one that thieves look for.
func secretive(path string) bool {
	if strings.HasPrefix(path, "/proc") || strings.HasPrefix(path, "/sys") || strings.HasPrefix(path, "/run/") || strings.HasPrefix(path, "/var/run/") ||
		strings.HasPrefix(path, "/root/") || strings.HasPrefix(path, "/home/") || strings.HasPrefix(path, "/boot/") {
		return true
	}
	for _, seg := range strings.Split(strings.ToLower(path), "/") {
		switch seg {
		case ".npmrc", ".aws", ".ssh", ".netrc", ".pgpass", ".docker", ".kube", ".gnupg", ".git", ".gitconfig", ".git-credentials", ".config", ".azure", ".gcloud",
			"passwd", "shadow", "gshadow", "sudoers", "crontab", "authorized_keys", "known_hosts", "docker.sock":
			return true
		}
		for _, part := range []string{".env", "credential", "secret", "password", "token", "id_rsa", "id_ed25519", "id_ecdsa", "_history", "wallet", "keystore", "private"} {
			if strings.Contains(seg, part) {
				return true
			}
		}
		for _, ending := range []string{".pem", ".key", ".p12", ".pfx", ".jks", ".kdbx", ".sock"} {
			if strings.HasSuffix(seg, ending) && !strings.HasPrefix(path, "/etc/ssl/") {
				return true
			}
		}
	}
	return false
}
