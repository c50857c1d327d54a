package build

// How long artifacts last: as long as somebody uses them. Who writes or opens one holds a shared lock
// on its folder (flock(2)), which the kernel takes back when the process ends, however it ends. What
// nobody holds is removed: by whoever closes it last, or, after a crash, by the next build. What
// somebody holds is removed only if it was found damaged, by the build that replaces it.

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

var errGone = errors.New("the artifact was removed meanwhile")

// lease takes a shared lock on the folder dir. The error is errGone if the folder was removed or
// replaced in between.
func lease(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if !isAt(f, dir) {
		f.Close()
		return nil, errGone
	}
	return f, nil
}

func isAt(f *os.File, dir string) bool {
	held, err1 := f.Stat()
	there, err2 := os.Lstat(dir)
	return err1 == nil && err2 == nil && os.SameFile(held, there)
}

// end gives a lease back and removes the folder if nobody else has one.
func end(f *os.File, dir string) {
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && isAt(f, dir) {
		discard(dir)
	}
}

// discard removes a folder of the store. It is moved away first: a new artifact may come to its place
// at any time. One that isn't there is no error.
func discard(dir string) error {
	old := filepath.Join(filepath.Dir(dir), oldPrefix+rand.Text())
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(old)
}

// discardHeld removes a folder that was found damaged, unless another has come to its place since it
// was held. The store is locked, or two that found it damaged could both see it there, and the second
// would remove what replaced it. Leases do not keep it: all who have it damaged hold one.
func discardHeld(held *os.File, dir string) error {
	lock, err := lockStore(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer lock.Close()
	if !isAt(held, dir) {
		return nil
	}
	return discard(dir)
}

// lockStore locks a store until the result is closed.
func lockStore(store string) (*os.File, error) {
	lock, err := os.Open(store)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, fmt.Errorf("locking %s: %w", store, err)
	}
	return lock, nil
}

// scratch makes an empty folder in the store, with a lease, and removes what a crash left. The store
// is locked meanwhile, or somebody else would take a folder without a lease for a left-over.
func scratch(store string) (string, *os.File, error) {
	if err := os.MkdirAll(store, 0o755); err != nil {
		return "", nil, err
	}
	lock, err := lockStore(store)
	if err != nil {
		return "", nil, err
	}
	defer lock.Close()
	sweep(store)
	dir, err := os.MkdirTemp(store, newPrefix)
	if err != nil {
		return "", nil, err
	}
	held, err := lease(dir)
	return dir, held, err
}

// sweep removes what nobody holds: artifacts of processes that crashed, and what they were writing.
func sweep(store string) {
	entries, err := os.ReadDir(store)
	if err != nil {
		return
	}
	for _, e := range entries {
		if name := e.Name(); e.IsDir() && (validID.MatchString(name) || strings.HasPrefix(name, newPrefix) || strings.HasPrefix(name, oldPrefix)) {
			dir := filepath.Join(store, name)
			if f, err := os.Open(dir); err == nil {
				end(f, dir)
			}
		}
	}
}
