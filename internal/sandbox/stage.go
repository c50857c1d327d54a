package sandbox

// Programs that a sandbox's user can't reach, such as a Node in root's home directory, are copied
// once to the state directory. All sandboxes share the copy, so that they share its pages too.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// Stage gives a copy of the program that every sandbox can read, making it if there is none yet.
// It is named by its content, so it never changes.
func (l *Launcher) Stage(path string) (string, error) {
	src, err := os.Open(path)
	if err != nil {
		return "", &weir.Error{Code: weir.Invalid, Message: "program " + path + " can't be read", Err: err}
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return "", err
	}
	key := stampOf(st)
	l.mu.Lock()
	defer l.mu.Unlock()
	if p, ok := l.staged[key]; ok {
		return p, nil
	}
	p, err := l.copy(src, filepath.Base(path))
	if err != nil {
		return "", &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("program %s can't be copied to %s", path, l.opts.StateDir), Err: err}
	}
	if !readable(p) {
		return "", &weir.Error{Code: weir.Invalid,
			Message: fmt.Sprintf("neither program %s nor its copy %s can be reached by the user that functions run as", path, p),
			Remedy:  "choose a state directory outside of private directories, or install the program for all users"}
	}
	l.staged[key] = p
	return p, nil
}

// stamp tells whether a file is still the same.
type stamp struct {
	dev, ino      uint64
	size          int64
	mtime, change int64
}

func stampOf(st os.FileInfo) stamp {
	s := st.Sys().(*syscall.Stat_t)
	return stamp{dev: uint64(s.Dev), ino: s.Ino, size: s.Size, mtime: unix.TimespecToNsec(unix.Timespec(s.Mtim)),
		change: unix.TimespecToNsec(unix.Timespec(s.Ctim))}
}

// copy writes the file under the name of its content.
func (l *Launcher) copy(src *os.File, name string) (string, error) {
	dir := filepath.Join(l.opts.StateDir, "programs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(dir, "incoming-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name()) // fails once it was renamed
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(tmp, sum), src)
	if err == nil {
		err = tmp.Chmod(0o755)
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return "", err
	}
	p := filepath.Join(dir, name+"-"+hex.EncodeToString(sum.Sum(nil)))
	if _, err := os.Lstat(p); err == nil {
		return p, nil // the same inode as ever
	}
	return p, os.Rename(tmp.Name(), p)
}

// readable tells whether a user who owns nothing and is in no group can read the file or
// directory at a path. Access control lists are not looked at: they could only make this answer
// no where it is yes, and the error is then the kernel's.
func readable(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil || st.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == "/" {
			break
		}
	}
	st, err := os.Stat(real)
	if err != nil {
		return false
	}
	need := os.FileMode(0o004)
	if st.IsDir() {
		need = 0o005
	}
	return st.Mode().Perm()&need == need
}
