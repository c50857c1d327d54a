package record

// Looking on while records are written.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// pollTime is how often a file is looked at for new records.
const pollTime = 200 * time.Millisecond

// Follow gives the records at path that a filter picks: the last ones of those that are there, in full
// files, too, or all of them if last is negative, and then those that are written, across rotation,
// until ctx ends or each gives an error. It calls reached once, unless nil, when it has given those
// that were there. Errors: those of Read; weir.NotFound if there is no file; weir.Invalid if it was
// cut off.
func Follow(ctx context.Context, path string, filter Filter, last int, each func(Entry) error, reached func()) error {
	files, err := openAll(path)
	if err != nil {
		return err
	}
	newest := len(files) - 1
	f := &follower{path: path}
	f.use(files[newest])
	defer func() { f.file.Close() }()
	defer closeAll(files[:newest])
	picked := lastOf(last, each)
	f.each = func(e Entry) error {
		if !filter.Match(&e) {
			return nil
		}
		return picked.add(e)
	}
	if err := f.old(files, &filter, last); err != nil {
		return err
	}
	return f.run(ctx, func() error {
		err := picked.give()
		if reached != nil {
			reached()
		}
		return err
	})
}

type follower struct {
	path   string
	each   func(Entry) error
	file   *os.File
	reader *Reader
	seq    int // of the file in its chain, 0 if it is in none
}

// old gives what is in full files, as far back as it is asked for.
func (f *follower) old(files []*os.File, filter *Filter, last int) error {
	first := len(files) - 1
	for found := 0; first > 0; first-- {
		if last >= 0 {
			if err := count(files[first], filter, &found); err != nil {
				return err
			}
		}
		begun, err := begun(files[first])
		if err != nil {
			return err
		}
		if last >= 0 && found >= last || begun.Before(filter.Since) {
			break
		}
	}
	for _, file := range files[first : len(files)-1] {
		if err := Read(file, f.each); err != nil {
			return err
		}
	}
	return nil
}

// count adds up how many records of a file a filter picks.
func count(file *os.File, filter *Filter, found *int) error {
	err := Read(file, func(e Entry) error {
		if filter.Match(&e) {
			*found++
		}
		return nil
	})
	return errors.Join(err, rewind(file))
}

// begun is when a file was begun; zero if it doesn't say so.
func begun(file *os.File) (time.Time, error) {
	var at time.Time
	if e, err := NewReader(file, file.Name()).Next(); err == nil && e.Header != nil {
		at = e.Header.Time
	}
	return at, rewind(file)
}

func rewind(file *os.File) error {
	_, err := file.Seek(0, io.SeekStart)
	return err
}

// lastOnes keeps the last records until they are asked for, and then passes on each that comes.
type lastOnes struct {
	most int // negative: none is kept back
	each func(Entry) error
	kept []Entry
}

func lastOf(most int, each func(Entry) error) *lastOnes { return &lastOnes{most: most, each: each} }

func (l *lastOnes) add(e Entry) error {
	if l.most < 0 {
		return l.each(e)
	}
	e.Raw = bytes.Clone(e.Raw)
	l.kept = append(l.kept, e)
	if len(l.kept) > l.most {
		l.kept = slices.Delete(l.kept, 0, 1)
	}
	return nil
}

func (l *lastOnes) give() error {
	for _, e := range l.kept {
		if err := l.each(e); err != nil {
			return err
		}
	}
	l.most, l.kept = -1, nil
	return nil
}

// run gives what is in the file and what comes; reached is called between the two.
func (f *follower) run(ctx context.Context, reached func() error) error {
	poll := time.NewTicker(pollTime)
	defer poll.Stop()
	for {
		next, err := f.step()
		if err != nil {
			return err
		}
		if next {
			continue
		}
		if reached != nil {
			if err := reached(); err != nil {
				return err
			}
			reached = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		}
	}
}

func (f *follower) use(file *os.File) {
	if f.file != nil {
		f.file.Close()
	}
	f.file, f.reader, f.seq = file, NewReader(file, file.Name()), 0
}

// step gives what is new in the file, and tells whether it went on to the next one.
func (f *follower) step() (next bool, err error) {
	there, err := os.Stat(f.path)
	own, err2 := f.file.Stat()
	if err2 != nil {
		return false, err2
	}
	moved := err == nil && !os.SameFile(there, own)
	if err := f.drain(); err != nil {
		return false, err
	}
	if !moved { // or the next file is not there yet
		return false, nil
	}
	// The newest is opened before the full ones are looked for: a writer that is fast may have filled
	// several since, and fill one more now.
	newest, err := openRegular(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, unreadable(f.path, err)
	}
	for _, path := range rotated(f.path) {
		if f.seq == 0 || numberOf(filepath.Clean(f.path), path) <= f.seq {
			continue
		}
		if file, err := openRegular(path); err == nil {
			f.use(file)
			return true, newest.Close()
		}
	}
	f.use(newest)
	return true, nil
}

// drain gives what is new. What has no end yet is read again.
func (f *follower) drain() error {
	err := f.reader.all(func(e Entry) error {
		if e.Header != nil {
			f.seq = e.Header.Seq
		}
		return f.each(e)
	})
	if err != nil {
		return err
	}
	at, err := f.file.Seek(-int64(f.reader.torn()), io.SeekCurrent)
	if err != nil {
		return err
	}
	f.reader.part = nil
	if info, err := f.file.Stat(); err != nil || info.Size() < at {
		return errors.Join(err, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: f.path},
			Message: "the file was cut off while it was read", Remedy: "weir audit verify says whether its records are whole"})
	}
	return nil
}
