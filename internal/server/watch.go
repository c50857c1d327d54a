package server

// Reload on change: the site's files are watched, and a burst of changes becomes one new build.

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// settle is how long the files must be quiet before the site is built anew: editors and package
// managers write in bursts.
const settle = 150 * time.Millisecond

// Watch rebuilds the site whenever its files change, until ctx ends. A build that fails is
// logged, and the last good one goes on serving.
func (d *Dev) Watch(ctx context.Context) error {
	w := d.watcher
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-w.Events:
			if ev.Has(fsnotify.Create) {
				d.watchTree(w, ev.Name)
			}
			if d.matters(ev) {
				due = time.After(settle)
			}
		case err := <-w.Errors:
			d.opts.Logger.Warn("watching the site's files", "error", err)
		case <-due:
			due = nil
			switch changed, err := d.Reload(ctx); {
			case err != nil:
				d.opts.Logger.Error("not reloaded; the last good build goes on serving", "error", err)
			case changed:
				d.opts.Logger.Info("reloaded", "functions", strings.Join(d.Functions(), " "))
			}
		}
	}
}

// newWatcher watches the site. It is made before the first build, so that no change falls between
// the two.
func (d *Dev) newWatcher() error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return &weir.Error{Code: weir.Unavailable, Message: "the site's files can't be watched", Err: err,
			Remedy: "raise the sysctl fs.inotify.max_user_instances"}
	}
	d.watcher = w
	d.watchTree(w, d.opts.Dir)
	return nil
}

// watchTree watches a folder and all below it, leaving out what a build never reads or what it
// writes itself. A file or a folder that is gone again is no error.
func (d *Dev) watchTree(w *fsnotify.Watcher, root string) {
	filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		if path != d.opts.Dir && ignored(e.Name()) {
			return filepath.SkipDir
		}
		if err := w.Add(path); err != nil {
			d.opts.Logger.Warn("changes in this folder will not be seen", "dir", path, "error", err)
		}
		return nil
	})
}

// matters tells whether an event can change the build.
func (d *Dev) matters(ev fsnotify.Event) bool {
	if ev.Op == fsnotify.Chmod || slices.ContainsFunc(d.opts.Unwatched, func(own string) bool { return sameFile(own, ev.Name) || record.IsOf(own, ev.Name) }) {
		return false
	}
	name := filepath.Base(ev.Name)
	return name == ".env" || !ignored(name) && !strings.HasSuffix(name, "~")
}

// sameFile tells whether two paths lead to one file, by whatever links.
func sameFile(a, b string) bool {
	one, err1 := os.Stat(a)
	two, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, two)
}

// ignored names what is not watched: dependencies (too many; an install touches the lock file,
// which is watched), version control and other hidden files.
func ignored(name string) bool { return name == "node_modules" || strings.HasPrefix(name, ".") }
