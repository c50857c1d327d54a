package build

// Where carried packages stand in the bundle, so that Node finds for each import the very package
// that it finds in the site.

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxPlaced bounds the packages of one function, copies counted.
const maxPlaced = 20000

// layout is the arrangement being made: folders of the bundle and the package in each.
type layout struct {
	at   map[string]string // place in the bundle: the package's folder on the host
	todo []string          // places whose packages' needs are still to be met
}

// place arranges the carried packages, given the imports of them that the bundle holds. A package
// that npm installed plainly keeps its place in the site, so its neighbours are where it expects
// them. Others (behind pnpm's links, in a workspace, above the site) are put where Node will look:
// at the top if that place is free, else inside the package that needs them. In one bundle a name leads to
// one package: where another one is asked for by it, the packages whose code does are given as more, to be carried as
// well, and from the site's own code it is put apart, to be imported by its path.
func (b *bundler) place(external map[edge]bool) (at map[string]string, more []string, err error) {
	l := &layout{at: map[string]string{}}
	for _, dir := range sortedKeys(b.carried) {
		if rel, ok := b.plain(dir); ok {
			l.put(rel, dir)
		}
	}
	for _, dir := range sortedKeys(b.apart) {
		l.put(b.apart[dir], dir)
	}
	here := path.Dir(b.rel)
	for _, e := range sortedEdges(b.later) {
		if l.lookup(here, e.name) == "" {
			l.put(path.Join("node_modules", e.name), e.to)
		}
	}
	for _, e := range sortedEdges(external) {
		got := l.lookup(here, e.name)
		switch {
		case l.at[got] == e.to, b.apart[e.to] != "":
		case got == "" && (e.from == "" || !slices.Contains(l.dirs(), e.to)):
			l.put(path.Join("node_modules", e.name), e.to)
		case e.from != "":
			more = append(more, e.from)
		default:
			b.apart[e.to] = fmt.Sprintf("node_modules/.apart/%d/node_modules/%s", len(b.apart), e.name)
			more = append(more, e.to) // the pass is made again with that
		}
	}
	if len(more) > 0 {
		return nil, more, nil
	}
	for len(l.todo) > 0 {
		pos := l.todo[0]
		l.todo = l.todo[1:]
		wants := b.carried[l.at[pos]]
		for _, name := range sortedKeys(wants) {
			switch got := l.lookup(pos, name); {
			case l.at[got] == wants[name]:
			case got == "":
				l.put(path.Join("node_modules", name), wants[name])
			default:
				l.put(path.Join(pos, "node_modules", name), wants[name])
			}
		}
		if len(l.at) > maxPlaced {
			return nil, nil, broken(b.site.Rel(b.fn.Main), "it has too many packages", "remove those it does not need")
		}
	}
	return l.at, nil, nil
}

func (l *layout) put(pos, dir string) {
	l.at[pos] = dir
	l.todo = append(l.todo, pos)
}

// lookup gives the place where Node finds a package from a folder of the bundle, "" if nowhere.
func (l *layout) lookup(from, name string) string {
	for d := from; ; d = path.Dir(d) {
		if path.Base(d) != "node_modules" {
			pos := path.Join(d, "node_modules", name)
			if _, ok := l.at[pos]; ok {
				return pos
			}
		}
		if d == "." {
			return ""
		}
	}
}

func (l *layout) dirs() []string {
	var out []string
	for _, d := range l.at {
		out = append(out, d)
	}
	return out
}

// plain gives the place of a package in the site if each node_modules on the way holds packages
// directly, as npm installs them.
func (b *bundler) plain(dir string) (string, bool) {
	if m := b.memberOf(dir); m != nil {
		dir = m.link
	}
	rel, err := filepath.Rel(b.site.Base, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	rel = filepath.ToSlash(rel)
	_, rest, ok := strings.Cut("/"+rel, "/node_modules/")
	for ok {
		if _, rest, ok = strings.Cut(rest, specifierName(rest)); !ok {
			break
		}
		if rest == "" {
			return rel, true
		}
		rest, ok = strings.CutPrefix(rest, "/node_modules/")
	}
	return "", false
}

func sortedEdges(m map[edge]bool) []edge {
	out := make([]edge, 0, len(m))
	for e := range m {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b edge) int {
		for _, c := range []int{strings.Compare(a.from, b.from), strings.Compare(a.name, b.name), strings.Compare(a.to, b.to)} {
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return out
}
