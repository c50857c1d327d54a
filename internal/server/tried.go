package server

// What loaded in a trial once, loads again: it is known by all that a trial can see, and kept for the next process. A
// site of a hundred functions would otherwise try a hundred for one that has changed. What failed is not kept.

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/weir"
)

// What loaded is forgotten this long after it was asked for last, and if there is more than so much of it, which was not
// asked for the longest.
const (
	keepTried = 30 * 24 * time.Hour
	maxTried  = 10_000
)

// tried is a folder of empty files, of which each says that a trial went well.
type tried string

// openTried makes the folder and forgets what nobody has asked for. Without it, everything is tried.
func openTried(stateDir string) tried {
	dir := filepath.Join(stateDir, "tried")
	// The user of sandboxes looks into the state directory, but not into this: names in it are made of secrets, too.
	if os.MkdirAll(stateDir, 0o755) != nil || os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	entries, _ := os.ReadDir(dir)
	var all []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			all = append(all, info)
		}
	}
	slices.SortFunc(all, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for i, info := range all {
		if i >= maxTried || time.Since(info.ModTime()) > keepTried {
			os.Remove(filepath.Join(dir, info.Name()))
		}
	}
	return tried(dir)
}

// file gives the place for a trial: what is loaded, on which Node.js, by which shim, and with what.
func (t tried) file(node runtime.Node, id string, env map[string]string, shared, own []string) (string, error) {
	if t == "" {
		return "", fs.ErrNotExist
	}
	with, err := json.Marshal([]any{id, env, shared, own, runtime.Content()})
	if err != nil {
		return "", err
	}
	key, err := runtime.CodeKey(node, weir.Limits{}, strings.NewReader(string(with)), strings.NewReader(""))
	return filepath.Join(string(t), key), err
}

// has tells whether a trial went well before.
func (tried) has(file string) bool {
	now := time.Now()
	return os.Chtimes(file, now, now) == nil
}

// note keeps that a trial went well. A failure costs another trial.
func (tried) note(file string) {
	if f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		f.Close()
	}
}
