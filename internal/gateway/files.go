package gateway

// Static files, wherever they lie, and the folder that they lie in on a developer's machine.

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Files are the static files of a site. It is called from many goroutines at once.
type Files interface {
	// Open gives the file of a path, which has no slash in front. The error is an fs.ErrNotExist if there is none
	// (a folder is none); any other means that it is there and can't be read.
	Open(name string) (*File, error)
}

// File is the content of a file, which must be closed.
type File struct {
	io.ReadSeekCloser
	Size   int64  // bytes
	Digest string // in characters of base64 or hex; equal for equal contents
}

// Folder gives the files of a folder. Links that lead out of it lead nowhere.
func Folder(dir string) Files { return folder(dir) }

type folder string

// maxDigest bounds the files that are read for their digest, in bytes. That of larger ones is made of what the file
// system says of them.
const maxDigest = 8 << 20

// Open is that of Files.
func (d folder) Open(name string) (*File, error) {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return nil, fs.ErrNotExist
	}
	defer root.Close()
	// Not to wait for the writer of a named pipe.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fs.ErrNotExist
	}
	digest, err := digestOf(f, info)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{f, info.Size(), digest}, nil
}

func digestOf(f *os.File, info fs.FileInfo) (string, error) {
	sum := sha256.New()
	if info.Size() > maxDigest {
		fmt.Fprint(sum, info.Sys().(*syscall.Stat_t).Ino, info.Size(), info.ModTime().UnixNano())
	} else if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	_, err := f.Seek(0, io.SeekStart)
	return hex.EncodeToString(sum.Sum(nil)[:16]), err
}
