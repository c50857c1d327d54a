// Package held gives one process at a time a file to hold. It must not know what that stands for.
package held

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// ErrElsewhere says that another process holds the file.
var ErrElsewhere = errors.New("another process holds it")

// patience is how long a file is waited for. A process that was killed may hold it for a moment longer: until its last
// thread has ended, and what it was just starting has become another program.
const patience = 3 * time.Second

// Take holds the file at path, which is made if need be, until it is closed or the process ends. A link there is
// refused. Errors: ErrElsewhere.
func Take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; time.Sleep(patience / 100) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(err, f.Close())
		case time.Now().After(end):
			return nil, errors.Join(ErrElsewhere, f.Close())
		}
	}
}
