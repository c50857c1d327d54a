package record

// Opening files that somebody named as records.

import (
	"errors"
	"os"
	"syscall"
)

// openRegular opens a file for reading. The error says so if it is not a regular one: a fifo or a
// terminal would keep whoever reads it waiting.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
