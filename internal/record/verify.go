package record

// Checking that files of records are as they were written. What is checked are the bytes; what a broken
// link means is said in words, and so is what nobody can know.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/weir-run/weir/internal/weir"
)

// Checked is what became of checking one file.
type Checked struct {
	File     string   `json:"file"`
	Seq      int      `json:"seq,omitempty"` // its number in the chain
	Key      string   `json:"key,omitempty"` // fingerprint of the key that its header names
	Lines    int      `json:"lines"`         // that were checked
	Head     string   `json:"head"`          // Hash of the last of them; zeros if there is none
	State    State    `json:"state"`         // Closed, Sealed, or Open
	Unsigned int      `json:"unsigned"`      // lines that no signature of who wrote them covers
	Notes    []string `json:"notes,omitempty"`
	Broken   *Break   `json:"broken,omitempty"` // nil: every link holds
}

// Break is the first link of a file that does not hold.
type Break struct {
	Line    int    `json:"line"` // 0: the file as a whole
	Meaning string `json:"meaning"`
}

// Open is the state of a file that ends without a closing checkpoint.
const Open State = "open"

// mostUnsigned is how many lines an honest writer can leave unsigned: those up to the next signature,
// and a few more if a full disk kept it from signing.
const mostUnsigned = 2 * signRecords

// Verify checks the files that were written to path, the oldest first, with the public keys of the
// servers that may have written them, and gives each line whose link holds to each, unless that is nil.
// What is given is only as good as what Verify says in the end. Its error is that of each, or says that a
// file could not be read.
func Verify(path string, keys []PublicKey, each func(Entry) error) ([]Checked, error) {
	files, err := openAll(path)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	checked, err := verifyFiles(files, keys, each)
	if err != nil {
		return nil, err
	}
	// A full file that goes by the name of the one being written takes the place of the one that followed.
	if last := &checked[len(checked)-1]; last.File != path || last.State == Sealed && !number.MatchString(filepath.Ext(path)) {
		last.Notes = append(last.Notes, path+", which followed, is not there")
	}
	return checked, nil
}

func verifyFiles(files []*os.File, keys []PublicKey, each func(Entry) error) ([]Checked, error) {
	var out []Checked
	var before *verifier
	for _, f := range files {
		v := &verifier{keys: keys, each: each, Checked: Checked{File: f.Name(), State: Open, Head: noHash}}
		if err := v.check(f, before); err != nil {
			return nil, err
		}
		out = append(out, v.Checked)
		before = v
	}
	return out, nil
}

// verifier checks one file.
type verifier struct {
	Checked
	keys   []PublicKey
	key    *PublicKey // that the header names
	each   func(Entry) error
	signed int // the last line that is a good checkpoint
	since  int // lines since then
}

// check reads the file to its first broken link. Its error is that of each, or says that it could not be read.
func (v *verifier) check(in io.Reader, before *verifier) error {
	r := NewReader(in, v.File)
	for v.Broken == nil {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		var wrong *weir.Error
		if errors.As(err, &wrong) {
			v.breaks(wrong.Pos.Line, "it can't be understood, so it was changed after it was written: %s", wrong.Message)
			break
		}
		if err != nil {
			return unreadable(v.File, err)
		}
		v.Lines++
		v.line(&e, before)
		v.Head = Hash(e.Raw)
		if v.Broken == nil && v.each != nil {
			if err := v.each(e); err != nil {
				return err
			}
		}
	}
	if v.Broken == nil {
		v.ending(r.torn())
	}
	return nil
}

func (v *verifier) breaks(line int, meaning string, args ...any) {
	v.Broken = &Break{line, fmt.Sprintf(meaning, args...)}
}

func (v *verifier) note(text string, args ...any) {
	v.Notes = append(v.Notes, fmt.Sprintf(text, args...))
}

// line checks one line and its link to the one before.
func (v *verifier) line(e *Entry, before *verifier) {
	line, sig, signed := e.Raw, "", false
	if e.Checkpoint != nil {
		line, sig, signed = without(line, "sig", sigLen)
		if !signed {
			v.breaks(e.Line, "it is a checkpoint without a signature")
			return
		}
	}
	_, prev, chained := without(line, "prev", hashLen)
	switch {
	case e.Line == 1:
		v.first(e, prev, chained, before)
	case !chained:
		v.breaks(e.Line, "it is not chained to the line before: it was added or changed")
	case prev != v.Head:
		v.breaks(e.Line, "it does not follow line %d: one of the two was changed, or lines between them were removed, added or put in another order", e.Line-1)
	case v.State == Sealed:
		v.breaks(e.Line, "it follows the seal of the file: it was added")
	case v.State == Closed && e.Resumed == nil:
		v.breaks(e.Line, "the file was closed before it, and no writer says that it went on: it was added")
	case e.Header != nil:
		v.breaks(e.Line, "it is a second header: it was added")
	case e.Resumed != nil:
		v.resumed(e)
	case e.Checkpoint != nil && !v.key.signed(line, sig):
		v.breaks(e.Line, "its signature is not by the server's key: what follows line %d was rewritten by someone who does not have the key", v.signed)
	case e.Checkpoint != nil:
		v.signed, v.since, v.State = e.Line, 0, e.Checkpoint.State
		if v.State == "" {
			v.State = Open
		}
	default:
		v.since++
	}
}

// first checks the header, and that the file goes on where the one before ended.
func (v *verifier) first(e *Entry, prev string, chained bool, before *verifier) {
	h := e.Header
	if h == nil || !chained || prev != h.Prev {
		v.breaks(1, "it is not a header: the beginning was removed or changed, or these records were never chained")
		return
	}
	v.Seq, v.Key, v.since = h.Seq, h.Key, 1
	for _, k := range v.keys {
		if k.id == h.Key {
			v.key = &k
		}
	}
	switch {
	case v.key == nil:
		v.breaks(1, "it is signed by the key %.64q, which is none of those given: another server's file, or a forgery", h.Key)
	case before != nil && before.Broken != nil:
		v.note("%s is broken, so it was not compared with where that ends", before.File)
	case before != nil && (before.Head != prev || before.Seq+1 != h.Seq):
		v.breaks(1, "it does not go on where %s ended: a file between them is missing, or one of the two was replaced or cut off", before.File)
	case before != nil && before.State != Sealed:
		v.note("%s was not sealed when this file was begun", before.File)
	case before == nil && prev != noHash:
		v.note("it goes on where file %d of the chain ended, which is not here to compare", h.Seq-1)
	}
	if v.Broken == nil && h.Found {
		v.note("when it was begun, file %d of the chain was sealed and the one that followed was not there: a crash at that moment, or it was removed", h.Seq-1)
	}
}

// resumed takes the word of a writer that found the file.
func (v *verifier) resumed(e *Entry) {
	switch {
	case v.signed == 0: // who begins a file signs its header with it
		v.breaks(e.Line, "nothing before it is signed: the beginning of the file was replaced")
	case v.since > mostUnsigned:
		v.breaks(v.signed+1, "%d lines follow a signature without another one, more than a writer leaves: they were added", v.since)
	case e.Resumed.Closed != (v.State == Closed):
		v.breaks(e.Line, "it says how the file ended before, and that is not so: lines before it were added or removed")
	case !e.Resumed.Closed:
		v.Unsigned += v.since
		v.note("up to line %d it ended without being closed: a crash, or its end was cut off; the %d lines before have no signature of who wrote them",
			e.Line-1, v.since)
	}
	v.State, v.since = Open, 1
}

// ending judges how the file ends.
func (v *verifier) ending(torn int) {
	v.Unsigned += v.since
	switch {
	case v.Lines == 0:
		v.breaks(0, "it is empty")
	case v.signed == 0:
		v.breaks(0, "nothing in it is signed")
	case v.since > mostUnsigned:
		v.breaks(v.signed+1, "%d lines follow the last signature, more than a writer leaves: they were added", v.since)
	case torn > 0 && v.State == Sealed:
		v.breaks(v.Lines+1, "it follows the end of the file: it was added or changed")
	case torn > 0:
		v.note("the last line is not whole: its writer was stopped in the middle of it, or is writing still")
	}
}
