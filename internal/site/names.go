package site

// Whoever judges what a function did wants to know what its own code names: a host that stands in the
// author's code is another thing than one that only a package knows.

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Bounds of what is looked at for one function, in bytes and files. What is beyond names nothing.
const (
	maxNamedFile  = 2 << 20
	maxNamedTotal = 64 << 20
	maxNamedFiles = 20_000
)

// Names is what a function's own code names: its file and what that imports, from file to file, by paths
// that begin with a dot. Packages are not its own, nor are comments.
type Names struct {
	hosts map[string]string // by host, the file
	below map[string]string // by what follows a part that is put in at run time: ".example.com"
	words map[string]bool
	paths map[string]bool
}

// Names reads the code of a function. What can't be read, or not told from comments, names nothing.
func (s *Site) Names(f Function) *Names {
	n := &Names{hosts: map[string]string{}, below: map[string]string{}, words: map[string]bool{}, paths: map[string]bool{}}
	total := 0
	todo := []string{f.Main}
	seen := map[string]bool{f.Main: true}
	for len(todo) > 0 && total <= maxNamedTotal {
		file := todo[0]
		todo = todo[1:]
		text, size := s.own(file)
		total += size
		n.add(s.Rel(file), text)
		if filepath.Ext(file) == ".json" {
			continue
		}
		for _, m := range imports.FindAllStringSubmatch(text, -1) {
			to := resolve(filepath.Dir(file), m[1]+m[2])
			if to != "" && !seen[to] && len(seen) < maxNamedFiles {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	return n
}

// own gives the code of a file, "" if it is not one of the site's own, and how many bytes were read.
func (s *Site) own(file string) (text string, read int) {
	real, err := filepath.EvalSymlinks(file)
	if err != nil || !within(s.Root, real) || slices.Contains(strings.Split(real[len(s.Root):], "/"), "node_modules") {
		return "", 0
	}
	info, err := os.Stat(real)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxNamedFile {
		return "", 0
	}
	b, err := os.ReadFile(real)
	if err != nil {
		return "", 0
	}
	if filepath.Ext(real) == ".json" {
		return string(b), len(b)
	}
	text, _ = code(string(b))
	return text, len(b)
}

// imports finds what code imports from files beside it.
var imports = regexp.MustCompile(`\b(?:from|import|require)\s*\(?\s*(?:'(\.\.?(?:/[^'\n]*)?)'|"(\.\.?(?:/[^"\n]*)?)")`)

// codeExtensions are tried in this order, as bundlers do.
var codeExtensions = []string{".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json"}

// resolve gives the file that an import leads to, "" if there is none.
func resolve(dir, to string) string {
	path := filepath.Join(dir, filepath.FromSlash(to))
	ext := filepath.Ext(path)
	tries := []string{}
	if slices.Contains(codeExtensions, ext) {
		tries = append(tries, path)
	}
	if slices.Contains([]string{".js", ".jsx", ".mjs", ".cjs"}, ext) { // TypeScript names what it becomes
		base := strings.TrimSuffix(path, ext)
		tries = append(tries, base+".ts", base+".tsx", base+".mts", base+".cts")
	}
	for _, name := range []string{path, filepath.Join(path, "index")} {
		for _, e := range codeExtensions {
			tries = append(tries, name+e)
		}
	}
	for _, t := range tries {
		if isRegular(t) {
			return t
		}
	}
	return ""
}

// Host gives the file that names a host, in a text or an address, or what follows the part of it that is
// put in at run time; "" if none does.
func (n *Names) Host(host string) string {
	if f := n.hosts[host]; f != "" {
		return f
	}
	for i := strings.IndexByte(host, '.'); i >= 0; i = next(host, i) {
		if f := n.below[host[i:]]; f != "" {
			return f
		}
	}
	return ""
}

func next(s string, i int) int {
	if j := strings.IndexByte(s[i+1:], '.'); j >= 0 {
		return i + 1 + j
	}
	return -1
}

// Word tells whether a file holds a name, such as a variable's.
func (n *Names) Word(name string) bool { return n.words[name] }

// Path tells whether a file names a path of the host machine, or a folder above it that is no top one.
func (n *Names) Path(path string) bool {
	for p := path; strings.Count(p, "/") > 1 || p == path && p != "/" && p != ""; p = p[:strings.LastIndexByte(p, '/')] {
		if n.paths[p] {
			return true
		}
	}
	return false
}

// add takes the names out of a file's text.
func (n *Names) add(file, text string) {
	for i := 0; i < len(text); {
		start := i
		for i < len(text) && (isName(text[i]) || text[i] == '.' || text[i] == '-' || text[i] == '/') {
			i++
		}
		if start == i {
			i++
			continue
		}
		n.run(file, text[:start], text[start:i])
	}
}

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// run looks at characters of names, dots, hyphens and slashes; before is all that stands in front.
func (n *Names) run(file, before, run string) {
	if !strings.ContainsAny(run, "./-") {
		n.words[run] = true
		return
	}
	for _, w := range strings.FieldsFunc(run, func(c rune) bool { return strings.ContainsRune("./-", c) }) {
		n.words[w] = true
	}
	quoted := before != "" && strings.IndexByte("\"'`", before[len(before)-1]) >= 0
	if quoted && run[0] == '/' && !strings.HasPrefix(run, "//") {
		n.paths[strings.TrimRight(run, "/")] = true
	}
	inserted := strings.HasSuffix(before, "}") || quoted // `${shop}.example.com`, shop + '.example.com'
	switch {
	case run[0] == '.' && len(run) > 1 && inserted:
		host, _, _ := strings.Cut(run[1:], "/")
		if suffix, _ := publicsuffix.PublicSuffix(strings.ToLower(host)); suffix != strings.ToLower(host) { // else anyone can register a name below it: .co.uk
			n.host(n.below, file, host, ".")
		}
	case strings.HasPrefix(run, "//") && (quoted || strings.HasSuffix(before, ":")): // no comment
		host, _, _ := strings.Cut(run[2:], "/")
		n.host(n.hosts, file, host, "")
	case quoted || strings.HasSuffix(before, "@"):
		host, _, _ := strings.Cut(run, "/")
		if !quoted || !readsLikeKey(host) {
			n.host(n.hosts, file, host, "")
		}
	}
}

// readsLikeKey tells whether a text by itself is as likely the key of something ('user.name', 'item.id',
// 'home.page') as a host: its ending is one that a name can be registered under, and a word of programs.
func readsLikeKey(text string) bool {
	last := strings.ToLower(text[strings.LastIndexByte(text, '.')+1:])
	if _, listed := publicsuffix.PublicSuffix(last); !listed {
		return false
	}
	if len(last) > 2 {
		return !slices.Contains([]string{"com", "net", "org", "edu", "gov", "mil", "cloud"}, last)
	}
	return slices.Contains(strings.Fields("am as at be by cc do gt id in is it la lt md me my no pl ps py rs sh so st to tv us"), last)
}

// host notes a host, if it is the full name of one.
func (n *Names) host(into map[string]string, file, name, prefix string) {
	host := strings.ToLower(name)
	last := host[strings.LastIndexByte(host, '.')+1:]
	if len(host) == len(last) || len(last) < 2 || last[0] <= '9' || strings.Contains(host, "..") || host[0] == '.' {
		return
	}
	if into[prefix+host] == "" {
		into[prefix+host] = file
	}
}
