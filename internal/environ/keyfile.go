package environ

// The key file: age's own form of identities (age-encryption.org), so that its tools can make and read one. Whoever
// has it and the store has all secrets.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"filippo.io/age"

	"github.com/weir-run/weir/internal/weir"
)

// KeyFile is the name of the key file in the state directory.
const KeyFile = "env.key"

const (
	maxKeyFile = 64 << 10 // bytes
	maxKeys    = 16       // each is tried on each variable
)

// keys are the identities of a key file: the first seals, each opens.
type keys []*age.X25519Identity

// readKeys reads a key file. Errors: fs.ErrNotExist; weir.Invalid, which never repeats a line of the file.
func readKeys(path string) (keys, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a fifo would keep it waiting
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		defer f.Close()
		err = private(f)
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(f, maxKeyFile))
	}
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: "the key file for variables can't be used", Err: err,
			Remedy: "it must be a file of the server's user or root that nobody else may read (chmod 600)"}
	}
	return parseKeys(string(text), path)
}

// private tells why a file is not one that only this user and root have a hand in.
func private(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("others may read it (%v)", info.Mode().Perm())
	case !known || owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return errors.New("it is somebody else's")
	case info.Size() >= maxKeyFile:
		return errors.New("it is too long")
	}
	return nil
}

// parseKeys reads identities, one a line; empty lines and those with # in front are comments.
func parseKeys(text, path string) (keys, error) {
	var ks keys
	wrong := func(line int, message string) error {
		return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path, Line: line}, Message: message,
			Remedy: "a key file holds lines AGE-SECRET-KEY-1…, as age-keygen makes them: the first seals, all open"}
	}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := age.ParseX25519Identity(line)
		if err != nil { // whose text may hold a part of the line
			return nil, wrong(i+1, "not an X25519 identity of age")
		}
		if ks = append(ks, k); len(ks) > maxKeys {
			return nil, wrong(i+1, fmt.Sprintf("more than %d keys", maxKeys))
		}
	}
	if ks == nil {
		return nil, wrong(0, "no key in it")
	}
	return ks, nil
}

// makeKeys makes a key file with one new key, whole or not at all, unless another process is faster.
func makeKeys(path string) error {
	k, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".env.key.*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "# Opens the variables of all sites. Keep a copy in a safe place: without it they are lost.\n%s\n", k)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
