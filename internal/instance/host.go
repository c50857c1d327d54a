package instance

// What a policy in Intrinsic's API finds on this host. Such a policy was written for another machine:
// its globs mean the files that are there when an instance starts, and what is not there is left out,
// where a rule of weir.toml would be an error.

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/sandbox"
)

// Bounds of what one glob may mean: each file found becomes a mount of its own.
const (
	maxFound  = 200   // files
	maxLooked = 20000 // entries of directories
)

// maxTold bounds the different messages that are told: file names are in them, which functions make up.
const maxTold = 100

var errTooMuch = fmt.Errorf("it means more than %d files, or more than %d had to be looked at", maxFound, maxLooked)

// host looks for what a function's policy means on this host.
type host struct {
	function string
	engine   *policy.Engine
	logger   *slog.Logger

	mu   sync.Mutex
	told map[string]struct{} // messages, each told once
}

// complete adds to s what the globs of the policy mean now, and has left out what isn't there.
func (h *host) complete(s *sandbox.Spec) {
	s.Write = append(s.Write, h.find(policy.Write)...)
	s.Read = append(s.Read, h.find(policy.Read)...)
	s.LeftOut = func(err error) { h.warn(err.Error()) }
}

func (h *host) warn(message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.told[message]; known || len(h.told) > maxTold {
		return
	}
	if len(h.told) == maxTold {
		message = "further messages of this kind are not shown"
	}
	if h.told == nil {
		h.told = map[string]struct{}{}
	}
	h.told[message] = struct{}{}
	h.logger.Warn("a rule grants nothing here: "+message, "function", h.function)
}

// find gives the regular files that the globs of kind k match. Those in a directory that the function
// may write are left out: they can be read anyway, and it could put a link in the place of one.
func (h *host) find(k policy.Kind) []string {
	var out []string
	for _, g := range h.engine.Globs(k) {
		found, err := h.match(k, g)
		if err != nil {
			h.warn(fmt.Sprintf("%s '%s': %v; name the files, or '%s/**'", k, g.Pattern, err, g.Dir))
			continue
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (h *host) match(k policy.Kind, g policy.Glob) ([]string, error) {
	root, err := filepath.EvalSymlinks(g.Dir)
	if err != nil {
		return nil, fmt.Errorf("%s can't be looked into", g.Dir)
	}
	var found []string
	looked := 0
	for dirs := []string{""}; len(dirs) > 0; { // as they lie below root, with a slash in front
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		for _, entry := range entries(root+dir, maxLooked+1-looked) {
			looked++
			rel := dir + "/" + entry.Name()
			switch name := g.Dir + rel; {
			case entry.IsDir() && (g.Depth == 0 || strings.Count(rel, "/") < g.Depth):
				dirs = append(dirs, rel)
			case entry.Type().IsRegular() && g.Match(name) && h.grantable(k, name):
				found = append(found, name)
			}
		}
		if looked > maxLooked || len(found) > maxFound {
			return nil, errTooMuch
		}
	}
	return found, nil
}

// entries gives up to n entries of a directory: there may be more than there is room for. What can't be
// looked into holds nothing for the function.
func entries(dir string, n int) []fs.DirEntry {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	found, _ := f.ReadDir(n)
	return found
}

// grantable tells whether a rule could grant a file, and none lets it be written with its directory.
func (h *host) grantable(k policy.Kind, name string) bool {
	if strings.HasSuffix(name, "/**") { // a file of that name would be taken for a rule for its directory
		return false
	}
	if policy.Check(policy.Rule{Kind: k, Pattern: name}) != nil {
		return false
	}
	for _, granted := range h.engine.Grants(policy.Write) {
		if dir, deep := strings.CutSuffix(granted, "/**"); deep && strings.HasPrefix(name, dir+"/") {
			return false
		}
	}
	return true
}
