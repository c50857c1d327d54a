package record

// Reading records back. A file of records may come from anywhere, so what is read is bounded, and
// what can't be understood is an error that names the line, never skipped: a record that is passed
// over in silence is one that was never made.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// maxLine bounds a line, in bytes. Seven texts of maxText, each byte escaped, fit.
const maxLine = 128 << 10

// Entry is one line of a file of records. Exactly one of the pointers is set.
type Entry struct {
	Decision   *Decision
	Invocation *Invocation
	Change     *Change
	Dropped    *Dropped
	Header     *Header     // of chained files only, as are the next two
	Checkpoint *Checkpoint //
	Resumed    *Resumed    //

	File string // as given to NewReader
	Line int    // from 1
	Raw  []byte // the line as written, with its end; valid until the next one is read
}

// Reader reads records one by one, of chained files and of plain ones. What it reads may be hostile.
type Reader struct {
	name string
	in   *bufio.Reader
	line int
	part []byte // of a line whose end is not there yet
	err  error  // what ended reading for good
}

// NewReader reads from in. Errors name the file as name says.
func NewReader(in io.Reader, name string) *Reader {
	return &Reader{name: name, in: bufio.NewReaderSize(in, maxLine)}
}

// Read gives each record of in to each, until one of them gives an error. Errors name in by its Name
// method, if it has one as an os.File does. A last line without an end is left out: its writer was
// stopped in the middle of it, or is writing still.
func Read(in io.Reader, each func(Entry) error) error {
	name := "records"
	if f, ok := in.(interface{ Name() string }); ok {
		name = f.Name()
	}
	return NewReader(in, name).all(each)
}

// all gives each record that there is to each, until one of them gives an error.
func (r *Reader) all(each func(Entry) error) error {
	for {
		e, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(e)
		}
		if err != nil {
			return err
		}
	}
}

// Next gives the next record, or io.EOF if there is none yet: it may be called again when the file
// has grown. Any other error is a weir.Error of code Invalid that names the line, or the error of the
// reader below, and final.
func (r *Reader) Next() (Entry, error) {
	if r.err != nil {
		return Entry{}, r.err
	}
	raw, err := r.next()
	if err == io.EOF {
		return Entry{}, err
	}
	var e Entry
	if err == nil {
		e, err = r.parse(raw)
	}
	r.err = err
	return e, err
}

// torn gives how many bytes follow the end of the last line.
func (r *Reader) torn() int { return len(r.part) }

// next gives the next whole line, with its end.
func (r *Reader) next() ([]byte, error) {
	raw, err := r.in.ReadSlice('\n')
	if len(r.part) > 0 || err == io.EOF {
		r.part = append(r.part, raw...)
		raw = r.part
	}
	switch {
	case err == bufio.ErrBufferFull || len(raw) > maxLine:
		r.line++
		return nil, r.wrong(nil, fmt.Sprintf("a line of more than %d bytes is no record", maxLine))
	case err != nil:
		return nil, err
	}
	r.line++
	r.part = nil
	return raw, nil
}

func (r *Reader) parse(raw []byte) (Entry, error) {
	e := Entry{File: r.name, Line: r.line, Raw: raw}
	// What most lines are is parsed once only.
	if d := new(decisionLine); bytes.HasPrefix(raw, []byte(`{"v":2,"type":"decision",`)) &&
		json.Unmarshal(raw, d) == nil && d.mark == (mark{Version, "decision"}) {
		e.Decision = &d.Decision
		return e, r.meaning(&e)
	}
	var is mark
	if err := json.Unmarshal(raw, &is); err != nil {
		return e, r.wrong(err, "not a record")
	}
	if is.V != Version {
		return e, r.wrong(nil, fmt.Sprintf("a record of version %d; this version of Weir reads version %d", is.V, Version))
	}
	into := e.of(is.Type)
	if into == nil {
		return e, r.wrong(nil, fmt.Sprintf("a record of an unknown type %.40q", is.Type))
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return e, r.wrong(err, "not a record")
	}
	return e, r.meaning(&e)
}

// of makes the entry one of a type, and gives where its fields belong; nil if there is no such type.
func (e *Entry) of(typ string) any {
	switch typ {
	case "decision":
		e.Decision = &Decision{}
		return e.Decision
	case "invocation":
		e.Invocation = &Invocation{}
		return e.Invocation
	case "change":
		e.Change = &Change{}
		return e.Change
	case "dropped":
		e.Dropped = &Dropped{}
		return e.Dropped
	case "header":
		e.Header = &Header{}
		return e.Header
	case "checkpoint":
		e.Checkpoint = &Checkpoint{}
		return e.Checkpoint
	case "resumed":
		e.Resumed = &Resumed{}
		return e.Resumed
	}
	return nil
}

// meaning tells what makes a record meaningless: nobody may have to guess whether something was allowed.
func (r *Reader) meaning(e *Entry) error {
	switch d := e.Decision; {
	case d != nil && d.Verdict != Allow && d.Verdict != Deny:
		return r.wrong(nil, fmt.Sprintf("decision is %.40q, neither allow nor deny", d.Verdict))
	case d != nil && d.Mode != "" && d.Mode != Monitor:
		return r.wrong(nil, fmt.Sprintf("mode is %.40q, not monitor", d.Mode))
	case d != nil && d.Count < 0 || e.Dropped != nil && e.Dropped.Count < 1:
		return r.wrong(nil, "count is out of range")
	case e.Change != nil && (e.Change.Author == "" || e.Change.Action == ""):
		return r.wrong(nil, "it does not say who changed what")
	case e.Checkpoint != nil && e.Checkpoint.State != "" && e.Checkpoint.State != Closed && e.Checkpoint.State != Sealed:
		return r.wrong(nil, fmt.Sprintf("state is %.40q, neither closed nor sealed", e.Checkpoint.State))
	case e.Time().IsZero():
		return r.wrong(nil, "it has no time")
	}
	return nil
}

func (r *Reader) wrong(err error, message string) error {
	return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: r.name, Line: r.line}, Message: message, Err: err,
		Remedy: "records are JSON lines of version 2; see docs/records.md"}
}

// Time gives when what the record tells of happened, or began.
func (e *Entry) Time() time.Time {
	switch {
	case e.Decision != nil:
		return e.Decision.Time
	case e.Invocation != nil:
		return e.Invocation.Time
	case e.Change != nil:
		return e.Change.Time
	case e.Dropped != nil:
		return e.Dropped.Time
	case e.Header != nil:
		return e.Header.Time
	case e.Checkpoint != nil:
		return e.Checkpoint.Time
	case e.Resumed != nil:
		return e.Resumed.Time
	}
	return time.Time{}
}
