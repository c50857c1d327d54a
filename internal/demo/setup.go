package demo

// The site is part of the binary. It is written out and its dependencies installed once; a set-up
// that was broken off is never used.

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

//go:embed site
var siteFiles embed.FS

// setUpTime bounds npm's work.
const setUpTime = 5 * time.Minute

// embedded gives the site's files.
func embedded() fs.FS {
	sub, err := fs.Sub(siteFiles, "site")
	if err != nil {
		panic(err) // the name is constant
	}
	return sub
}

// program finds a program in the PATH.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", &weir.Error{Code: weir.Unavailable, Message: "the demo needs " + name + ", and there is none in the PATH",
			Remedy: "install Node.js 20 or newer together with npm (https://nodejs.org)"}
	}
	return filepath.Abs(path)
}

// setUp gives the folder of the site with its dependencies installed. Set-ups of the same content may
// run at the same time: the first one to be whole counts.
func setUp(ctx context.Context, stateDir string, site fs.FS, progress io.Writer) (string, error) {
	id, err := contentHash(site)
	if err != nil {
		return "", err
	}
	store := filepath.Join(stateDir, "demo")
	dir := filepath.Join(store, id)
	if isDir(dir) {
		return dir, nil
	}
	npm, err := program("npm")
	if err != nil {
		return "", err
	}
	tmp, err := scratch(store)
	if err != nil {
		return "", &weir.Error{Code: weir.Invalid, Message: "the demo can't be set up in " + store, Err: err,
			Remedy: "set WEIR_STATE_DIR to a folder that you may write to"}
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(tmp, site); err != nil {
		return "", fmt.Errorf("writing the demo's site: %w", err)
	}
	fmt.Fprintln(progress, "setting up, once: npm ci fetches the real stripe package ...")
	if err := install(ctx, npm, tmp, progress); err != nil {
		return "", err
	}
	if err := readableByAll(tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil && !isDir(dir) {
		return "", err
	}
	return dir, nil
}

// contentHash gives a name that changes with any file of the site.
func contentHash(site fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(site, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := fs.ReadFile(site, path)
		fmt.Fprintf(h, "%q %d\n%s", path, len(b), b)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// scratch makes an empty folder in store.
func scratch(store string) (string, error) {
	if err := makeDirs(store); err != nil {
		return "", err
	}
	return os.MkdirTemp(store, ".new-")
}

// makeDirs makes a folder and those above it that are missing. Sandboxes of root run with another uid
// and must get through the state folder, whatever the umask says.
func makeDirs(dir string) error {
	if isDir(dir) {
		return nil
	}
	if err := makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// install runs npm ci. The lock file pins every package's content; no package's scripts are run.
func install(ctx context.Context, npm, dir string, progress io.Writer) error {
	bounded, cancel := context.WithTimeout(ctx, setUpTime)
	defer cancel()
	cmd := exec.CommandContext(bounded, npm, "ci", "--install-links", "--ignore-scripts", "--prefer-offline",
		"--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded.Err() != nil:
		err = fmt.Errorf("no end after %s", setUpTime)
	}
	fmt.Fprintln(progress, tail(string(out), 8))
	for _, code := range []string{"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH"} {
		if strings.Contains(string(out), code) {
			return &weir.Error{Code: weir.Unavailable, Message: "npm can't reach its registry", Err: errors.New(code),
				Remedy: "connect to the internet, or name a registry that you can reach (npm config set registry URL), and run weir demo again; once set up it needs no network"}
		}
	}
	return &weir.Error{Code: weir.Unavailable, Message: "npm ci failed", Err: err,
		Remedy: "mend what npm complains about above and run weir demo again"}
}

// tail gives the last lines that are not empty.
func tail(text string, n int) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// readableByAll undoes what a strict umask did.
func readableByAll(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return os.Chmod(path, 0o755)
		case e.Type().IsRegular():
			return os.Chmod(path, 0o644)
		}
		return nil
	})
}
