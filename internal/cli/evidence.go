package cli

// Records as evidence: what learns from them, or replays them, first makes sure that they are as they
// were written.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// evidenceFlags name records and say what vouches for them.
type evidenceFlags struct {
	files      []string
	keys       []string
	unverified bool
}

func (f *evidenceFlags) register(c *cobra.Command, absent string) {
	fl := c.Flags()
	fl.StringArrayVar(&f.files, "records", nil, "`FILE` of records, with those put aside when it was full; may be repeated"+absent)
	registerKeys(c, &f.keys)
	fl.BoolVar(&f.unverified, "unverified", false, "take records as they are, also those that somebody changed or that were never chained")
}

func registerKeys(c *cobra.Command, keys *[]string) {
	c.Flags().StringArrayVar(keys, "key", nil, "`FILE` with a server's public key; may be repeated (default: that of weir dev on this machine; weir serve has it in its --state-dir)")
}

// evidence is what is known of the records that were read.
type evidence struct {
	Verified bool             `json:"verified"` // each line follows the one before, and a key that was given signed them
	Files    []record.Checked `json:"files"`    // none if they were not verified
}

// read gives all records of the files to a recorder, and says on the error stream what vouches for them.
// Records that are not as they were written are an error, unless that was asked for; what the recorder
// got until then means nothing.
func (f *evidenceFlags) read(ctx context.Context, s *streams, dir string, to record.Recorder) (evidence, error) {
	e := evidence{Verified: !f.unverified, Files: []record.Checked{}}
	files := f.files
	if len(files) == 0 {
		file, err := recorded(dir)
		if err != nil {
			return e, err
		}
		files = []string{file}
	}
	var keys []record.PublicKey
	if e.Verified {
		var err error
		if keys, err = publicKeys(f.keys); err != nil {
			return e, orUnverified(err)
		}
	}
	read := map[string]bool{} // a file that is named, and found beside another that is named, is read once
	for _, path := range files {
		checked, err := readEvidence(ctx, path, keys, e.Verified, read, to)
		if err != nil {
			return e, err
		}
		e.Files = append(e.Files, checked...)
	}
	fmt.Fprintln(s.err, e)
	return e, nil
}

func readEvidence(ctx context.Context, path string, keys []record.PublicKey, verify bool, read map[string]bool, to record.Recorder) ([]record.Checked, error) {
	now := map[string]bool{}
	give := func(e record.Entry) error {
		now[e.File] = true
		switch {
		case read[e.File]:
		case e.Decision != nil:
			to.Decided(*e.Decision)
		case e.Invocation != nil:
			to.Invoked(*e.Invocation)
		}
		return ctx.Err()
	}
	var checked []record.Checked
	var err error
	if verify {
		checked, err = record.Verify(path, keys, give)
	} else {
		err = record.ReadFiles(path, give)
	}
	if err != nil {
		return nil, err
	}
	for _, c := range checked {
		if b := c.Broken; b != nil {
			return nil, orUnverified(&weir.Error{Code: weir.Invalid, Pos: weir.Position{File: c.File, Line: b.Line},
				Message: "records that are not as a server wrote them: " + b.Meaning, Remedy: "see weir audit verify"})
		}
	}
	checked = slices.DeleteFunc(checked, func(c record.Checked) bool { return read[c.File] })
	for file := range now {
		read[file] = true
	}
	return checked, nil
}

// orUnverified adds the way out to an error's remedy.
func orUnverified(err error) error {
	var e *weir.Error
	if errors.As(err, &e) {
		e.Remedy += "; --unverified takes records as they are"
	}
	return err
}

// String says it in one line.
func (e evidence) String() string {
	if !e.Verified {
		return "records: not verified, so anybody may have written them"
	}
	var keys []string
	lines, unsigned := 0, 0
	for _, c := range e.Files {
		lines, unsigned = lines+c.Lines, unsigned+c.Unsigned
		if key := fmt.Sprintf("%.16s…", c.Key); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	text := fmt.Sprintf("records: %s verified, signed by %s", counted(lines, "line"), strings.Join(keys, ", "))
	if unsigned > 0 {
		text += fmt.Sprintf("; %d of them without a signature of who wrote them", unsigned)
	}
	return text
}

// publicKeys reads the keys in files, or else this machine's own.
func publicKeys(files []string) ([]record.PublicKey, error) {
	if len(files) == 0 {
		dir, err := stateDir()
		if err != nil {
			return nil, err
		}
		files = []string{record.StateKey(dir)}
	}
	var keys []record.PublicKey
	for _, file := range files {
		k, err := record.ReadPublicKey(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}
