package cli

// weir dev --learn: where its records go, and how to go on from there.

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// learnedRecords is where weir dev --learn writes records, below the site's folder. The folder is
// hidden, so that it is neither watched nor bundled.
const learnedRecords = ".weir/records.jsonl"

// learning makes the folder for records that no flag sends elsewhere, and keeps it out of version
// control. The site may come from a stranger: no link of it is followed.
func (f *siteFlags) learning(dir string) error {
	if f.records.file != "" {
		return nil
	}
	f.records.file = filepath.Join(dir, learnedRecords)
	folder := filepath.Dir(f.records.file)
	err := os.Mkdir(folder, 0o700)
	if errors.Is(err, os.ErrExist) {
		err = nil
	}
	if err == nil {
		err = seemly(f.records.file)
	}
	if err == nil {
		var ignore *os.File
		ignore, err = os.OpenFile(filepath.Join(folder, ".gitignore"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = ignore.WriteString("*\n")
			err = errors.Join(err, ignore.Close())
		} else if errors.Is(err, os.ErrExist) {
			err = nil
		}
	}
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "no place for records in " + dir, Err: err, Remedy: "say with --records where records go"}
	}
	return nil
}

// recorded gives the file of records that no flag names.
func recorded(dir string) (string, error) {
	file := filepath.Join(dir, learnedRecords)
	if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
		return "", &usageError{errors.New("--records is missing, and " + file + " is not there: run weir dev --learn first")}
	}
	if err := seemly(file); err != nil {
		return "", &weir.Error{Code: weir.Invalid, Message: "records that weir dev --learn did not make", Err: err,
			Remedy: "name them with --records if they are to be read"}
	}
	return file, nil
}

// seemly makes sure that the folder of records, and what is there of their files, are what they seem: no
// links, and this user's.
func seemly(file string) error {
	err := own(filepath.Dir(file), os.FileMode.IsDir, "a folder")
	for _, f := range record.Files(file) {
		if err == nil {
			err = own(f, os.FileMode.IsRegular, "a regular file")
		}
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	return err
}

func own(path string, is func(os.FileMode) bool, kind string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !is(info.Mode()) {
		return errors.New(path + " is not " + kind)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Geteuid() {
		return errors.New(path + " belongs to another user")
	}
	return nil
}

// next is the command that makes a policy of what was recorded.
func (f *siteFlags) next(dir string) string {
	next := "weir policy learn"
	if dir != "." {
		next += " " + dir
	}
	if f.records.file != filepath.Join(dir, learnedRecords) {
		next += " --records " + f.records.file
	}
	return next
}
