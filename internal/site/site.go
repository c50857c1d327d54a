// Package site reads a Netlify site as it lies on disk: netlify.toml, the functions folder and the
// publish directory. It says what is there, in the words of the file's author; it must not know how
// functions are bundled, confined or served.
package site

// The whole of a site: where it lies, what it publishes, which functions it has.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

// JSRuntimeVariable is the variable by which a site says on which Node.js its functions run on Netlify
// (docs.netlify.com, "Optional configuration for functions").
const JSRuntimeVariable = "AWS_LAMBDA_JS_RUNTIME"

// Site is a site as its author wrote it. All paths are absolute and free of symbolic links.
type Site struct {
	Dir       string         // the folder of netlify.toml
	Base      string         // Netlify's base directory: what the file's other paths are relative to; Dir if not set
	Root      string         // the repository or workspace that the site is part of; Base if there is none
	JSRuntime string         // AWS_LAMBDA_JS_RUNTIME of [build.environment], "" if not set
	Publish   string         // the folder of static files, "" when nothing is published
	Functions []Function     // sorted by name
	Rules     *routing.Rules // of its URLs: redirects, rewrites, proxies and headers
	Warnings  []string       // one line each, for the author
}

// Function is one function of a site.
type Function struct {
	Name     string   // as in /.netlify/functions/NAME
	Main     string   // the file that holds it, below Site.Base; "" if Err says that there is none
	Included []string // included_files: globs relative to Site.Base, "!" in front takes away; see Site.Expand
	External []string // external_node_modules: packages that must not be bundled
	Bundler  string   // node_bundler; "esbuild" if not set
	Err      error    // not nil: it can't be served, and this says why

	Background bool   // by its name or netlify.toml: callers get no answer
	Schedule   string // of netlify.toml, see weir.FunctionConfig; "" for none
}

// Load reads the site in dir. A fault in netlify.toml is a *weir.Error with the position; a fault
// of one function is that function's Err. A site without netlify.toml has Netlify's defaults.
func Load(dir string) (*Site, error) {
	real, err := realDir(dir)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			err = at.Err // which the message names already
		}
		return nil, &weir.Error{Code: weir.NotFound, Message: fmt.Sprintf("%s is not a folder that can be read", dir),
			Remedy: "name the folder of a Netlify site", Err: err}
	}
	c, err := readConfig(filepath.Join(real, configFile))
	if err != nil {
		return nil, err
	}
	s := &Site{Dir: real, Root: repository(real)}
	if s.Base, _, err = s.folder(c, real, "build", "base"); err != nil {
		return nil, err
	}
	if s.Base == "" {
		s.Base = real
	}
	if !within(s.Root, s.Base) {
		s.Root = s.Base
	}
	if s.JSRuntime, _, err = c.text("build", "environment", JSRuntimeVariable); err != nil {
		return nil, err
	}
	if err := s.readPublish(c); err != nil {
		return nil, err
	}
	s.readRules(c)
	if err := s.readFunctions(c); err != nil {
		return nil, err
	}
	s.Warnings = slices.Concat(c.unknownKeys(), s.Warnings)
	return s, nil
}

// Rel gives a path of the site as its author would write it, relative to Dir, with slashes.
func (s *Site) Rel(path string) string {
	rel, err := filepath.Rel(s.Dir, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// readPublish finds the folder of static files. Netlify publishes the base directory when nothing
// is configured; here that would serve the project's own files (weir.toml, .env, node_modules), so
// such a site publishes nothing.
func (s *Site) readPublish(c *config) error {
	dir, pos, err := s.folder(c, s.Base, "build", "publish")
	switch {
	case err != nil:
		return err
	case pos.Line == 0:
		for _, name := range []string{"public", "dist", "build", "out"} {
			if isDir(filepath.Join(s.Base, name)) {
				s.warn("no static files are served: to publish the folder %q, set publish = %q under [build] in %s", name, name, configFile)
				break
			}
		}
	case dir == "":
		s.warn("%s: the publish folder does not exist yet, so no static files are served", pos)
	case within(dir, s.Base) || within(dir, s.Dir):
		s.warn("%s: publish names the folder of the project itself, with its configuration and dependencies, so no static files are served; put them into a folder of their own", pos)
	default:
		s.Publish = dir
	}
	return nil
}

// folder reads a key whose value is a folder, relative to base. The folder is "" if the key is not
// set (the position is then zero) or if it does not exist. One outside of the repository is an
// error: a site must not reach into the rest of the machine.
func (s *Site) folder(c *config, base string, key ...string) (string, weir.Position, error) {
	value, ok, err := c.text(key...)
	if err != nil || !ok {
		return "", weir.Position{}, err
	}
	pos := c.pos(key...)
	path := filepath.Join(base, filepath.FromSlash(value)) // Netlify reads a leading slash as the base, too
	outside := &weir.Error{Code: weir.Invalid, Pos: pos,
		Message: fmt.Sprintf("%s = %q lies outside of the site", strings.Join(key, "."), value),
		Remedy:  "name a folder of the site, relative to it"}
	if strings.ContainsRune(value, 0) || !within(s.Root, path) {
		return "", pos, outside
	}
	real, err := realDir(path)
	if err != nil {
		return "", pos, nil
	}
	if !within(s.Root, real) {
		return "", pos, outside
	}
	return real, pos, nil
}

func (s *Site) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// repository gives the nearest folder, dir or above, that is the root of a repository or of a
// workspace, and dir if there is none. The home directory and the root of the file system are
// never taken for one: too much of what lies there is not the site's.
func repository(dir string) string {
	home, _ := os.UserHomeDir()
	for d := dir; d != filepath.Dir(d) && d != home; d = filepath.Dir(d) {
		for _, mark := range []string{".git", "pnpm-workspace.yaml"} {
			if _, err := os.Lstat(filepath.Join(d, mark)); err == nil {
				return d
			}
		}
		if hasWorkspaces(filepath.Join(d, "package.json")) {
			return d
		}
	}
	return dir
}

// hasWorkspaces tells whether a package.json is the root of a workspace of npm or Yarn.
func hasWorkspaces(path string) bool {
	data, err := readRegular(path, 1<<20)
	if err != nil {
		return false
	}
	var p struct{ Workspaces json.RawMessage }
	return json.Unmarshal(data, &p) == nil && len(p.Workspaces) > 0 && !bytes.Equal(p.Workspaces, []byte("null"))
}

// readRegular reads a regular file of at most max bytes. Anything else (a device, a pipe) would
// block or never end.
func readRegular(path string, max int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() > max {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, max)
	}
	return os.ReadFile(path)
}

// realDir gives the absolute path of a folder without symbolic links.
func realDir(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", err
	}
	if !isDir(real) {
		return "", &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return real, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// within tells whether path is dir or below it; both absolute and clean.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
