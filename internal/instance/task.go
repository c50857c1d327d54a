package instance

// What a process that waits for its function sees as /var/task: a folder of its own in the state directory,
// empty until the function's files are linked into it. The sandbox sees it read-only and as nobody's to
// change, as it would the bundle itself.

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/weir"
)

// tasks is the folder that holds those of one fleet: STATE/tasks/RANDOM. It is locked (flock(2)) as long as
// the fleet lives, however it ends.
type tasks struct {
	dir  string
	held *os.File
}

// newTasks makes the folder, after it has removed what fleets that are gone left.
func newTasks(stateDir string) (*tasks, error) {
	all, err := filepath.Abs(filepath.Join(stateDir, "tasks"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(all, 0o755); err != nil {
		return nil, err
	}
	// Locked, or another fleet would take a folder that isn't locked yet for left over.
	lock, err := locked(all, syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := owned(all, lock); err != nil {
		return nil, err
	}
	sweepTasks(all)
	t := &tasks{dir: filepath.Join(all, rand.Text())}
	if err := makeDir(t.dir); err != nil {
		return nil, err
	}
	t.held, err = locked(t.dir, syscall.LOCK_EX)
	return t, err
}

// owned checks that a folder is this user's and nobody else may write to it.
func owned(dir string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be changed by others", dir)
	}
	return nil
}

// sweepTasks removes the folders that nobody has locked.
func sweepTasks(all string) {
	entries, err := os.ReadDir(all)
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := filepath.Join(all, e.Name())
		if f, err := locked(dir, syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			os.RemoveAll(dir)
			f.Close()
		}
	}
}

func locked(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(dir, syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// close removes the folder. No process that uses it may be left.
func (t *tasks) close() {
	if t != nil {
		os.RemoveAll(t.dir)
		t.held.Close()
	}
}

// task is the folder of one process. A nil one is no folder.
type task struct{ dir string }

func (t *tasks) make() (*task, error) {
	dir := filepath.Join(t.dir, rand.Text())
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	return &task{dir}, nil
}

// makeDir makes a folder that every sandbox's user can read, whatever the umask says.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// taskCode is the file of compiled code in a task's folder.
const taskCode = weir.PackDir + "/code"

// fill links a bundle's files into the folder, and writes compiled code beside them, if there is any. A link
// is the very file: it costs no copy and no memory of its own, and its owner and mode are those that it has
// in the artifact.
func (t *task) fill(bundle string, code *runtime.Code) error {
	if err := t.link(bundle); err != nil || code == nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(t.dir, filepath.FromSlash(taskCode)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(code.Data)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

func (t *task) link(bundle string) error {
	return filepath.WalkDir(bundle, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == bundle {
			return err
		}
		rel, err := filepath.Rel(bundle, path)
		if err != nil {
			return err
		}
		to := filepath.Join(t.dir, rel)
		switch {
		case e.IsDir():
			return makeDir(to)
		case e.Type().IsRegular():
			return os.Link(path, to)
		case e.Type()&fs.ModeSymlink != 0: // to another file of the bundle
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		return fmt.Errorf("%s is no regular file", path)
	})
}

func (t *task) remove() {
	if t != nil {
		os.RemoveAll(t.dir)
	}
}

// CheckBlanks tells why no process can wait for its function on this machine, nil if it can: the state
// directory must be on a file system that has hard links.
func CheckBlanks(stateDir string) (err error) {
	all, err := newTasks(stateDir)
	if err != nil {
		return err
	}
	defer all.close()
	from, err1 := all.make()
	to, err2 := all.make()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(from.dir, "probe"), nil, 0o644); err != nil {
		return err
	}
	return to.link(from.dir)
}
