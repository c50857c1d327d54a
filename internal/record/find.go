package record

// Finding records: all files of a chain, and those that match.

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// ReadFiles gives each record that was written to path to each, the oldest first: those in files that
// were full, too. Errors: those of Read; weir.NotFound if there are no records at all.
func ReadFiles(path string, each func(Entry) error) error {
	files, err := openAll(path)
	if err != nil {
		return err
	}
	defer closeAll(files)
	for _, f := range files {
		if err := Read(f, each); err != nil {
			return err
		}
	}
	return nil
}

// openAll opens the files that were written to path, the oldest first. The last one is opened before the
// others are looked for, so that none is missed if a writer puts it aside meanwhile.
func openAll(path string) (files []*os.File, err error) {
	last, err := openRegular(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, unreadable(path, err)
	}
	for _, old := range rotated(path) {
		f, err := openRegular(old)
		switch {
		case errors.Is(err, fs.ErrNotExist): // its time had come
		case err != nil:
			closeAll(append(files, last))
			return nil, unreadable(old, err)
		case last != nil && sameFile(f, last):
			f.Close()
		default:
			files = append(files, f)
		}
	}
	if last != nil {
		files = append(files, last)
	}
	if len(files) == 0 {
		return nil, unreadable(path, fs.ErrNotExist)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func sameFile(a, b *os.File) bool {
	one, err1 := a.Stat()
	two, err2 := b.Stat()
	return err1 == nil && err2 == nil && os.SameFile(one, two)
}

func unreadable(path string, err error) error {
	return &weir.Error{Code: weir.NotFound, Pos: weir.Position{File: path}, Message: "no records can be read", Err: err,
		Remedy: "name the file that was given as --records"}
}

// Filter picks records. A zero field picks all.
type Filter struct {
	Since, Until time.Time
	Function     string // a name or a glob
	Host         string // a host or a glob, of a decision's target
	Verdict      Verdict
	Kind         string // of a decision, or "invocation" or "change"
}

// Valid tells whether the globs are globs.
func (f *Filter) Valid() error {
	_, err1 := path.Match(f.Function, "")
	_, err2 := path.Match(f.Host, "")
	return errors.Join(err1, err2)
}

// Match tells whether a record is picked. What tells of records that are missing is picked whatever it is
// that one looks for; of a chain's own lines, only that a writer went on after another had not ended.
func (f *Filter) Match(e *Entry) bool {
	if !f.Until.IsZero() && e.Time().After(f.Until) {
		return false
	}
	last := e.Time()
	if e.Decision != nil && e.Decision.Last.After(last) {
		last = e.Decision.Last
	}
	if last.Before(f.Since) {
		return false
	}
	switch {
	case e.Decision != nil:
		d := e.Decision
		return matches(f.Function, d.Function) && (f.Host == "" || matches(f.Host, d.Host())) &&
			(f.Verdict == "" || f.Verdict == d.Verdict) && (f.Kind == "" || f.Kind == d.Kind)
	case e.Invocation != nil:
		return matches(f.Function, e.Invocation.Function) && f.Host == "" && f.Verdict == "" && (f.Kind == "" || f.Kind == "invocation")
	case e.Change != nil:
		return f.Function == "" && f.Host == "" && f.Verdict == "" && (f.Kind == "" || f.Kind == "change")
	case e.Resumed != nil:
		return !e.Resumed.Closed
	}
	return e.Dropped != nil
}

func matches(glob, name string) bool {
	ok, err := path.Match(glob, name)
	return glob == "" || ok && err == nil
}

// Host gives the host or the name that was called, "" if nothing like it was.
func (d *Decision) Host() string {
	target := d.Target
	switch d.Kind {
	case "http", "ws", "tcp", "tls", "udp":
	case "dns": // "TYPE name", or a name
		return target[strings.LastIndexByte(target, ' ')+1:]
	default:
		return ""
	}
	if _, rest, ok := strings.Cut(target, "://"); ok {
		target, _, _ = strings.Cut(rest, "/")
	}
	if host, _, err := net.SplitHostPort(target); err == nil {
		return host
	}
	return strings.Trim(target, "[]")
}
