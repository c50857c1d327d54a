package record

// Files that follow each other. A file that is full is sealed and gets its number as a suffix; the next
// one begins with the hash of the seal, so the chain goes on. However a process ends, the next one finds
// the chain's end and says what it found.

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/held"
	"github.com/weir-run/weir/internal/weir"
)

// open finds the end of the chain at r.path and goes on there.
func (r *File) open() error {
	err := r.find()
	var told *weir.Error
	if err == nil || errors.As(err, &told) {
		return err
	}
	return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: r.path}, Message: "can't write records", Err: err,
		Remedy: "give the path of a file in a folder that this user may write to"}
}

func (r *File) find() error {
	if real, err := filepath.EvalSymlinks(r.path); err == nil {
		r.path = real // the file is renamed, not a link to it
	}
	info, err := os.Stat(r.path)
	if err == nil && !info.Mode().IsRegular() {
		return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: r.path}, Message: "not a regular file",
			Remedy: "records are kept in a file; - sends them to standard output"}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.takeLock(); err != nil {
		return err
	}
	if info, err = os.Stat(r.path); err == nil && info.Size() > 0 { // the last one may just have rotated
		err = r.resume()
	} else {
		err = r.follow()
	}
	if err != nil {
		r.lock.Close()
	}
	return err
}

// takeLock makes sure that no other process writes. The lock ends with the process.
func (r *File) takeLock() (err error) {
	r.lock, err = held.Take(beside(r.path, "lock"))
	if errors.Is(err, held.ErrElsewhere) {
		return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: r.path}, Message: "another process writes records there",
			Remedy: "end it, or give this one a file of its own with --records, and a second weir serve its own --state-dir, too"}
	}
	return err
}

// beside is a hidden file that belongs to path.
func beside(path, what string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+what)
}

// follow begins the file at r.path after the last one of the chain, or begins a chain.
func (r *File) follow() error {
	seq, prev, found := 1, noHash, false
	if old := rotated(r.path); len(old) > 0 {
		end, err := readEnd(old[len(old)-1])
		if err != nil {
			return err
		}
		seq, prev, found = end.header.Seq+1, end.head, end.state == Sealed
	}
	f, size, head, err := r.begin(seq, prev, found)
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), r.path); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	r.f, r.seq, r.size, r.head = f, seq, size, head
	r.prune()
	return nil
}

// begin makes a new file, not yet in its place, with a header and a checkpoint.
func (r *File) begin(seq int, prev string, found bool) (f *os.File, size int64, head string, err error) {
	header, err := encode(struct {
		mark
		Header
	}{mark{Version, "header"}, Header{Time: time.Now(), File: rand.Text(), Seq: seq, Key: r.opts.Key.public.id, Found: found}})
	if err != nil {
		return nil, 0, "", err
	}
	header = link(nil, header, prev, nil)
	mark, err := encodeCheckpoint("")
	if err != nil {
		return nil, 0, "", err
	}
	mark = link(nil, mark, Hash(header), r.opts.Key)
	// Whatever lies there is a left-over, or a trap: nothing is written through a link.
	if err := os.Remove(beside(r.path, "new")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, "", err
	}
	f, err = os.OpenFile(beside(r.path, "new"), os.O_APPEND|os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, "", err
	}
	if _, err := f.Write(append(header, mark...)); err != nil {
		return nil, 0, "", errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, int64(len(header) + len(mark)), Hash(mark), nil
}

// end is what is known of a file from its first line and its last.
type end struct {
	header Header
	state  State  // of the last line, if that is a checkpoint
	head   string // its hash
	size   int64  // where it ends
	torn   int    // bytes after it
}

// readEnd reads the first and the last line of a chained file.
func readEnd(path string) (end, error) {
	f, err := openRegular(path)
	if err != nil {
		return end{}, err
	}
	defer f.Close()
	first, err := NewReader(f, path).Next()
	if err != nil || first.Header == nil {
		return end{}, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path, Line: 1}, Message: "not the beginning of chained records",
			Remedy: "move the file away, or give another one for records"}
	}
	e := end{header: *first.Header}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return end{}, err
	}
	from := max(0, size-2*maxLine)
	tail := make([]byte, size-from)
	if _, err := f.ReadAt(tail, from); err != nil {
		return end{}, err
	}
	stop := bytes.LastIndexByte(tail, '\n') + 1
	begin := bytes.LastIndexByte(tail[:max(0, stop-1)], '\n') + 1
	if stop == 0 || begin == 0 && from > 0 {
		return end{}, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: "its last line is too long for a record",
			Remedy: "move the file away, or give another one for records"}
	}
	last := tail[begin:stop]
	e.size, e.torn, e.head = from+int64(stop), len(tail)-stop, Hash(last)
	if c, err := NewReader(bytes.NewReader(last), path).Next(); err == nil && c.Checkpoint != nil {
		e.state = c.Checkpoint.State
	}
	return e, nil
}

// resume goes on with the file at r.path: it takes an unfinished last line away and says so. A file
// that is sealed, or that another key signs, is put aside first.
func (r *File) resume() error {
	e, err := readEnd(r.path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if e.torn > 0 {
		if err := f.Truncate(e.size); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if e.state == Sealed || e.header.Key != r.opts.Key.public.id {
		if _, err := r.aside(e.header.Seq); err != nil {
			return errors.Join(err, f.Close())
		}
		return errors.Join(f.Close(), r.follow())
	}
	r.f, r.seq, r.size, r.head = f, e.header.Seq, e.size, e.head
	line, err := encode(struct {
		mark
		Resumed
	}{mark{Version, "resumed"}, Resumed{time.Now(), e.state == Closed, e.torn}})
	if err == nil {
		err = r.append(line, nil)
	}
	if err != nil {
		f.Close()
	}
	return err
}

// makeRoom begins the next file if this one would grow too large with n more bytes. The caller holds
// the lock.
func (r *File) makeRoom(n int) {
	const chained = 2*hashLen + sigLen + 200 // a line's place in the chain, and a checkpoint
	if r.records == 0 || r.size+int64(n+chained) <= r.opts.MaxSize {
		return
	}
	r.rotate()
}

// stay begins a new file if the one being written is no longer at its path: records that nobody finds
// are lost. The caller holds the lock.
func (r *File) stay() {
	if at := r.at(); at != ours {
		r.opts.Logger.Warn("the file of records was moved away", "file", r.path)
		r.rotate()
	}
}

// What is at r.path.
const (
	ours    = iota // the file that is being written
	nothing        // or an empty one
	foreign
)

func (r *File) at() int {
	there, err := os.Stat(r.path)
	if err != nil {
		return nothing
	}
	if own, err := r.f.Stat(); err == nil && os.SameFile(own, there) {
		return ours
	}
	if there.Size() == 0 {
		return nothing
	}
	return foreign
}

// rotate seals the file, puts it aside and begins the next. If any of that fails, all stays as it was,
// and it is tried again later: rather too large a file than lost records. The caller holds the lock.
func (r *File) rotate() {
	if len(r.rest) > 0 || r.lost > 0 || time.Now().Before(r.waits) {
		return
	}
	if err := r.next(); err != nil {
		r.waits = time.Now().Add(signTime)
		r.opts.Logger.Error("the next file of records can't be begun", "file", r.path, "error", err)
	}
}

func (r *File) next() error {
	seal, err := encodeCheckpoint(Sealed)
	if err != nil {
		return err
	}
	seal = link(nil, seal, r.head, r.opts.Key)
	f, size, head, err := r.begin(r.seq+1, Hash(seal), false)
	if err != nil {
		return err
	}
	if _, err = r.f.Write(seal); err == nil {
		err = r.replace(f.Name())
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()), r.f.Truncate(r.size))
	}
	old := r.f
	r.done.Go(func() { // nobody waits for the disk
		if err := errors.Join(old.Sync(), old.Close()); err != nil {
			r.opts.Logger.Error("a file of records may not be whole on the disk", "file", old.Name(), "error", err)
		}
	})
	r.f, r.seq, r.size, r.head, r.records, r.unsigned = f, r.seq+1, size, head, 0, 0
	r.prune()
	return nil
}

// replace puts the file at r.path aside and another in its place.
func (r *File) replace(by string) error {
	switch r.at() {
	case foreign:
		return errors.New("another file is in its place")
	case nothing:
		return os.Rename(by, r.path)
	}
	aside, err := r.aside(r.seq)
	if err != nil {
		return err
	}
	if err := os.Rename(by, r.path); err != nil {
		return errors.Join(err, os.Rename(aside, r.path))
	}
	return nil
}

// aside gives the file at r.path its number for a name. It replaces no other file.
func (r *File) aside(seq int) (string, error) {
	to := numbered(r.path, seq)
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is there already", to)
	}
	return to, os.Rename(r.path, to)
}

// prune removes the oldest files, so that no more than opts.Keep are left.
func (r *File) prune() {
	old := rotated(r.path)
	for _, path := range old[:max(0, len(old)+1-r.opts.Keep)] {
		if err := os.Remove(path); err != nil {
			r.opts.Logger.Error("an old file of records can't be removed", "file", path, "error", err)
		}
	}
}

// numbered is the name of a file that is full.
func numbered(path string, seq int) string { return fmt.Sprintf("%s.%06d", path, seq) }

var number = regexp.MustCompile(`^\.([0-9]{6,9})$`)

// numberOf gives the number of a file that was at path before, 0 if name is none.
func numberOf(path, name string) int {
	suffix, ok := strings.CutPrefix(name, path)
	m := number.FindStringSubmatch(suffix)
	if !ok || m == nil {
		return 0
	}
	seq, _ := strconv.Atoi(m[1])
	return seq
}

// IsOf tells whether name is the file of records at path, or one that was there before it was full.
func IsOf(path, name string) bool { return name == path || numberOf(path, name) > 0 }

// rotated gives the files that were at path before, the oldest first.
func rotated(path string) []string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if name := filepath.Join(filepath.Dir(path), e.Name()); numberOf(filepath.Clean(path), name) > 0 {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return numberOf(filepath.Clean(path), a) - numberOf(filepath.Clean(path), b) })
	return out
}

// Files gives the names of the files of records that were written to path, the oldest first: those that
// are full, and path itself. ReadFiles reads them all, even while they are written.
func Files(path string) []string { return append(rotated(path), path) }
