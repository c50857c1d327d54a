package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

const (
	allowLine = `{"v":2,"type":"decision","time":"2026-01-02T12:00:00Z","decision":"allow","function":"fn","instance":"i","kind":"http","method":"GET","target":"https://api.test/x","nearest":"GET https://api.test/*","rule":"weir.toml:4","source":"egress"}`
	invLine   = `{"v":2,"type":"invocation","time":"2026-01-02T12:00:00Z","function":"fn","request":"r","outcome":"ok","ms":1.5,"cold":false}`
)

func readAll(t *testing.T, text string) ([]Entry, error) {
	t.Helper()
	var out []Entry
	err := Read(strings.NewReader(text), func(e Entry) error {
		e.Raw = bytes.Clone(e.Raw)
		out = append(out, e)
		return nil
	})
	return out, err
}

func TestReadGivesBackWhatWasWritten(t *testing.T) {
	d := Decision{Time: noon, Verdict: Deny, Mode: Monitor, Function: "fn", Instance: "i1", Request: "r1", Import: true, Kind: "http", Method: "POST",
		Target: "https://evil.test/ü\x1b", Reason: "no", Nearest: "n", Rule: "weir.toml:4", Fix: "f", Source: Egress, Confirmed: Kernel, Count: 3, Last: noon.Add(time.Second)}
	i := Invocation{Time: noon, Function: "fn", Instance: "i1", Request: "r1", Outcome: "ok", Millis: 1.5, Cold: true, Error: "e"}
	text := strings.Join(written(t, func(f *File) { f.Decided(d); f.Invoked(i) }), "\n") + "\n"
	var ds []Decision
	var is []Invocation
	err := Read(strings.NewReader(text), func(e Entry) error {
		if e.Decision != nil {
			ds = append(ds, *e.Decision)
		}
		if e.Invocation != nil {
			is = append(is, *e.Invocation)
		}
		return nil
	})
	if err != nil || len(ds) != 1 || !reflect.DeepEqual(ds[0], d) || len(is) != 1 || is[0] != i {
		t.Errorf("%v\n%+v\n%+v", err, fmt.Sprintf("%#v %#v", ds, d), is)
	}
}

func TestReadTakesPlainFiles(t *testing.T) {
	got, err := readAll(t, allowLine+"\n"+invLine+"\n"+`{"v":2,"type":"dropped","time":"2026-01-02T12:00:00Z","count":7}`+"\n"+invLine)
	if err != nil || len(got) != 3 || got[0].Decision == nil || got[1].Invocation == nil || got[2].Dropped == nil {
		t.Fatalf("%v %+v", err, got)
	}
	if e := got[2]; e.Dropped.Count != 7 || e.Line != 3 || e.File != "records" || !e.Time().Equal(noon.Truncate(time.Second)) {
		t.Errorf("%+v", e)
	}
}

func TestReadNamesWhatItCannotUnderstand(t *testing.T) {
	for line, want := range map[string]string{
		`not json`:                               "records:2: not a record",
		``:                                       "records:2: not a record",
		`[1]`:                                    "records:2: not a record",
		`{"v":1,"type":"denial"}`:                "records:2: a record of version 1; this version of Weir reads version 2",
		`{"v":3,"type":"decision"}`:              "records:2: a record of version 3",
		`{"type":"decision"}`:                    "records:2: a record of version 0",
		`{"v":2,"type":"telepathy"}`:             `records:2: a record of an unknown type "telepathy"`,
		`{"v":2}`:                                `records:2: a record of an unknown type ""`,
		`{"v":2,"type":"invocation","time":"x"}`: "records:2: not a record",
		`{"v":2,"type":"invocation"}`:            "records:2: it has no time",
		`{"v":2,"type":"change","time":"2026-01-02T12:00:00Z","author":"a"}`:       "records:2: it does not say who changed what",
		`{"v":2,"type":"change","time":"2026-01-02T12:00:00Z","action":"a"}`:       "records:2: it does not say who changed what",
		`{"v":2,"type":"change","author":"a","action":"b"}`:                        "records:2: it has no time",
		`{"v":2,"type":"invocation","ms":"long"}`:                                  "records:2: not a record",
		strings.Replace(allowLine, `"decision":"allow",`, ``, 1):                   `records:2: decision is "", neither allow nor deny`,
		strings.Replace(allowLine, `"allow"`, `"Allow"`, 1):                        `records:2: decision is "Allow", neither allow nor deny`,
		strings.Replace(allowLine, `"allow"`, `"allow","mode":"x"`, 1):             `records:2: mode is "x"`,
		strings.Replace(allowLine, `"allow"`, `"allow","count":-1`, 1):             "records:2: count is out of range",
		`{"v":2,"type":"dropped","time":"2026-01-02T12:00:00Z","count":0}`:         "records:2: count is out of range",
		`{"v":2,"type":"checkpoint","time":"2026-01-02T12:00:00Z","state":"open"}`: `records:2: state is "open"`,
		strings.Repeat("a", maxLine):                                               "records:2: a line of more than 131072 bytes is no record",
		strings.Repeat("[", maxLine-1):                                             "records:2: not a record",
	} {
		got, err := readAll(t, invLine+"\n"+line+"\n"+invLine+"\n")
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "docs/records.md") || weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("%.60s: error %v, want %s", line, err, want)
		}
		if len(got) != 1 {
			t.Errorf("%.60s: %d records, want the one before it", line, len(got))
		}
	}
}

func TestReadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Read(f, func(Entry) error { return nil }); err == nil || !strings.HasPrefix(err.Error(), path+":1: ") {
		t.Errorf("error %v", err)
	}
}

func TestReadEndsWithTheCallersError(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	err := Read(strings.NewReader(invLine+"\n"+invLine+"\n"), func(Entry) error { n++; return stop })
	if err != stop || n != 1 {
		t.Errorf("%v after %d records", err, n)
	}
}

// TestReaderGoesOnWhenMoreIsWritten cuts a file at each byte: what has no end yet is given when it has.
func TestReaderGoesOnWhenMoreIsWritten(t *testing.T) {
	text := invLine + "\n" + allowLine + "\n"
	for cut := range len(text) {
		var b bytes.Buffer
		r := NewReader(&b, "x")
		n := 0
		for _, piece := range []string{text[:cut], text[cut:]} {
			b.WriteString(piece)
			for {
				e, err := r.Next()
				if err == io.EOF {
					break
				}
				if err != nil || !json.Valid(e.Raw) {
					t.Fatalf("cut at %d: %v %q", cut, err, e.Raw)
				}
				n++
			}
			if want := len(piece) - 1 - strings.LastIndexByte(piece, '\n'); len(piece) == cut && r.torn() != want {
				t.Fatalf("cut at %d: %d bytes torn, want %d", cut, r.torn(), want)
			}
		}
		if n != 2 {
			t.Fatalf("cut at %d: %d records", cut, n)
		}
	}
}

// FuzzRead: whatever a file holds, reading ends, keeps to its bounds and gives only what has a meaning.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "\n", invLine, invLine + "\n", allowLine + "\n" + invLine + "\n", `{"v":2,"type":"resumed","time":"2026-01-02T12:00:00Z","torn":3}` + "\n",
		`{"v":2,"type":"header","time":"2026-01-02T12:00:00Z","seq":1}` + "\n", `{"v":2,"type":"checkpoint","time":"2026-01-02T12:00:00Z","state":"sealed"}` + "\n",
		`{"V":2,"TYPE":"decision","decision":"allow"}` + "\n", "\xff\xfe\n", `{"v":2e0,"type":"dropped"}` + "\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		lines := 0
		err := Read(bytes.NewReader(b), func(e Entry) error {
			lines++
			set := 0
			for _, is := range []bool{e.Decision != nil, e.Invocation != nil, e.Dropped != nil, e.Header != nil, e.Checkpoint != nil, e.Resumed != nil} {
				if is {
					set++
				}
			}
			if set != 1 || e.Line != lines || e.Time().IsZero() || !bytes.HasSuffix(e.Raw, []byte("\n")) || !json.Valid(e.Raw) {
				t.Errorf("%+v", e)
			}
			if d := e.Decision; d != nil && d.Verdict != Allow && d.Verdict != Deny {
				t.Errorf("verdict %q", d.Verdict)
			}
			return nil
		})
		if n := bytes.Count(b, []byte("\n")); lines > n || err == nil && lines != n {
			t.Errorf("%d records of %d lines, error %v", lines, n, err)
		}
		if err != nil && weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("error %v", err)
		}
	})
}
