package site

// Which functions a site has. The rules are those of Netlify's own bundler,
// @netlify/zip-it-and-ship-it (src/runtimes/node/finder.ts): a file NAME.EXT, or a folder NAME with
// NAME.EXT or index.EXT in it; folders win over files.

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/cron"
	"github.com/weir-run/weir/internal/weir"
)

// defaultFunctions is where Netlify looks for functions when the site does not say.
const defaultFunctions = "netlify/functions"

// extensions are the files that can be functions; the first one wins where several share a name.
var extensions = []string{".js", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", Archive}

// BackgroundSuffix ends the name of a background function.
const BackgroundSuffix = "-background"

// Archive is the extension of a function that is built already.
const Archive = ".zip"

// folderExtensions is the order in which a folder's main file is looked for.
var folderExtensions = []string{".js", ".ts", ".mjs", ".cjs", ".tsx", ".mts", ".cts"}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// inFolder is the rank of a function that is a folder: it wins over files.
const inFolder = -1

// candidate is a file or folder that may be a function.
type candidate struct {
	name string
	main string // "" for what can't be read as one
	rank int    // lower wins among equal names
}

// readFunctions finds the functions and what netlify.toml says of each.
func (s *Site) readFunctions(c *config) error {
	if err := c.checkSettings(); err != nil {
		return err
	}
	dir, err := s.functionsDir(c)
	if err != nil || dir == "" {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: s.Rel(dir)}, Message: "the functions folder can't be read", Err: err}
	}
	var found []candidate
	for _, e := range entries {
		if cand, ok := s.candidate(dir, e.Name()); ok {
			found = append(found, cand)
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		if n := strings.Compare(a.name, b.name); n != 0 {
			return n
		}
		return a.rank - b.rank
	})
	for i, cand := range found {
		if i > 0 && found[i-1].name == cand.name {
			s.warn("%s is not served: %s has the same name", s.Rel(cand.main), s.Rel(s.Functions[len(s.Functions)-1].Main))
			continue
		}
		f, err := s.function(c, cand)
		if err != nil {
			return err
		}
		s.Functions = append(s.Functions, f)
	}
	return nil
}

// functionsDir gives the functions folder, "" if there is none.
func (s *Site) functionsDir(c *config) (string, error) {
	for _, key := range [][]string{{"functions", "directory"}, {"build", "functions"}} {
		dir, pos, err := s.folder(c, s.Base, key...)
		if err != nil {
			return "", err
		}
		if pos.Line != 0 && dir == "" {
			return "", &weir.Error{Code: weir.Invalid, Pos: pos,
				Message: "the functions folder does not exist", Remedy: "make it, or name the one that there is"}
		}
		if dir != "" {
			return dir, nil
		}
	}
	dir, err := realDir(filepath.Join(s.Base, defaultFunctions))
	if err != nil {
		s.warn("no functions: there is no folder %s, and %s names no other one", defaultFunctions, configFile)
		return "", nil
	}
	if !within(s.Root, dir) {
		return "", &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: defaultFunctions},
			Message: "the functions folder is a link that leads out of the site"}
	}
	return dir, nil
}

// candidate looks at one entry of the functions folder. Hidden files, dependencies and what holds
// no code are no functions; names that can't be a function's are told.
func (s *Site) candidate(dir, entry string) (candidate, bool) {
	path := filepath.Join(dir, entry)
	if strings.HasPrefix(entry, ".") || entry == "node_modules" || path == s.Publish {
		return candidate{}, false
	}
	if isDir(path) {
		main := mainFile(path, entry)
		if main == "" {
			return candidate{}, false
		}
		return s.named(entry, main, inFolder)
	}
	ext := filepath.Ext(entry)
	name := strings.TrimSuffix(entry, ext)
	rank := slices.Index(extensions, ext)
	if rank < 0 || strings.HasSuffix(name, ".d") {
		return candidate{}, false
	}
	return s.named(name, path, rank)
}

func (s *Site) named(name, main string, rank int) (candidate, bool) {
	if !validName.MatchString(name) {
		s.warn("%s is not served: the name of a function has only letters, digits, - and _", s.Rel(main))
		return candidate{}, false
	}
	return candidate{name, main, rank}, true
}

// mainFile gives the main file of a function that is a folder, "" if it has none.
func mainFile(dir, name string) string {
	for _, ext := range folderExtensions {
		for _, base := range []string{name, "index"} {
			path := filepath.Join(dir, base+ext)
			if isRegular(path) {
				return path
			}
		}
	}
	return ""
}

// function puts together what is known of one function. Only a fault of netlify.toml is an error.
func (s *Site) function(c *config, cand candidate) (Function, error) {
	f := Function{Name: cand.name, Main: cand.main, Bundler: "esbuild", Background: strings.HasSuffix(cand.name, BackgroundSuffix)}
	if err := c.settings(&f); err != nil {
		return f, err
	}
	real, err := filepath.EvalSymlinks(cand.main)
	pos := weir.Position{File: s.Rel(cand.main)}
	switch {
	case err != nil || !isRegular(real):
		f.Err = &weir.Error{Code: weir.Broken, Pos: pos, Message: "this is not a regular file", Remedy: "put the function's file there"}
	case !within(s.Base, real):
		f.Err = &weir.Error{Code: weir.Broken, Pos: pos, Message: "the function is a link that leads out of the site", Remedy: "put its file into the site"}
	default:
		f.Main = real
	}
	if cand.rank == inFolder {
		// A function's own folder holds what it reads at run time; Netlify's default bundler finds
		// such files by tracing. What the site excludes explicitly stays out.
		f.Included = append([]string{escapeGlob(s.Rel(filepath.Dir(cand.main))) + "/**"}, f.Included...)
	}
	return f, nil
}

// escapeGlob makes a path a pattern that names just it.
func escapeGlob(p string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]", "{", "[{]", "!", "[!]").Replace(p)
}

// settings fills in what [functions] and the [functions.GLOB] tables that fit say: lists add up,
// of single values the most specific one counts.
func (c *config) settings(f *Function) error {
	tables := [][]string{{"functions"}}
	for _, glob := range c.overrides() {
		if matchName(glob, f.Name) {
			tables = append(tables, []string{"functions", glob})
		}
	}
	for _, t := range tables {
		bundler, ok, err := c.text(append(t, "node_bundler")...)
		if err != nil {
			return err
		}
		if ok {
			f.Bundler = bundler
		}
		included, err := c.texts(append(t, "included_files")...)
		if err != nil {
			return err
		}
		f.Included = append(f.Included, included...)
		external, err := c.texts(append(t, "external_node_modules")...)
		if err != nil {
			return err
		}
		f.External = append(f.External, external...)
		background, err := c.flag(append(t, "background")...)
		if err != nil {
			return err
		}
		f.Background = f.Background || background
		schedule, ok, err := c.text(append(t, "schedule")...)
		if err != nil {
			return err
		}
		if ok {
			f.Schedule = schedule
		}
	}
	return nil
}

// checkSettings looks at every table, those that fit no function included.
func (c *config) checkSettings() error {
	if _, err := c.get("functions", ""); err != nil { // anything but a table
		return err
	}
	tables := [][]string{{"functions"}}
	for _, glob := range c.overrides() {
		if _, err := compileGlob(glob); err != nil {
			return &weir.Error{Code: weir.Invalid, Pos: c.pos("functions", glob),
				Message: fmt.Sprintf("%q is not a valid glob", glob), Remedy: "name a function, or use * for any characters"}
		}
		tables = append(tables, []string{"functions", glob})
	}
	for _, t := range tables {
		if err := c.checkTable(t); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) checkTable(t []string) error {
	key := func(k string) []string { return append(slices.Clone(t), k) }
	bundler, ok, err := c.text(key("node_bundler")...)
	if err != nil {
		return err
	}
	if ok && !slices.Contains(weir.Bundlers, bundler) {
		e := &weir.Error{Code: weir.Invalid, Pos: c.pos(key("node_bundler")...),
			Message: fmt.Sprintf("node_bundler = %q is unknown", bundler), Remedy: "expected one of " + strings.Join(weir.Bundlers, ", ")}
		if near := nearest(bundler, weir.Bundlers); near != "" {
			e.Remedy += fmt.Sprintf("; did you mean %q?", near)
		}
		return e
	}
	if _, err := c.texts(key("external_node_modules")...); err != nil {
		return err
	}
	if _, err := c.flag(key("background")...); err != nil {
		return err
	}
	schedule, ok, err := c.text(key("schedule")...)
	if err != nil {
		return err
	}
	if _, bad := cron.Parse(schedule); ok && bad != nil {
		return &weir.Error{Code: weir.Invalid, Pos: c.pos(key("schedule")...), Message: fmt.Sprintf("schedule = %.80q is no schedule: %v", schedule, bad),
			Remedy: "write five fields of cron in UTC, such as */5 * * * *, or @hourly, @daily, @weekly, @monthly, @yearly"}
	}
	patterns, err := c.texts(key("included_files")...)
	if err != nil {
		return err
	}
	for _, p := range patterns {
		if problem := checkPattern(p); problem != "" {
			return &weir.Error{Code: weir.Invalid, Pos: c.pos(key("included_files")...),
				Message: fmt.Sprintf("included_files: %q %s", p, problem), Remedy: "write a path or glob relative to the site"}
		}
	}
	return nil
}
