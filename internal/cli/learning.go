package cli

// weir dev --learn: where its records go, and how to go on from there.

import (
	"errors"
	"os"
	"path/filepath"

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
		err = noLink(folder, f.records.file)
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

// noLink makes sure that the folder and the file, if it is there, are what they seem.
func noLink(folder, file string) error {
	if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
		return errors.Join(err, errors.New(folder+" is not a folder"))
	}
	info, err := os.Lstat(file)
	if err == nil && !info.Mode().IsRegular() {
		return errors.New(file + " is not a regular file")
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
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
