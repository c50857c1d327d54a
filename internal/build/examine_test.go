package build

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/weir"
)

// counted notes by name which archives are read.
func counted(archives []Archive, read *[]string) []Archive {
	var out []Archive
	for _, a := range archives {
		open := a.Open
		a.Open = func() (io.ReadCloser, error) {
			from, err := open()
			return &noted{ReadCloser: from, name: a.Name, read: read}, err
		}
		out = append(out, a)
	}
	return out
}

// noted notes its name when it is read first.
type noted struct {
	io.ReadCloser
	name string
	read *[]string
}

func (n *noted) Read(p []byte) (int, error) {
	if n.name != "" {
		*n.read, n.name = append(*n.read, n.name), ""
	}
	return n.ReadCloser.Read(p)
}

// TestExamineLooksForWhatItKnows: a deploy whose archive is lost can't be served, so it must not become ready.
func TestExamineLooksForWhatItKnows(t *testing.T) {
	var e Examiner
	a := uploaded("fn", pack(t, entry{"fn.js", "", nil}))
	if _, err := e.Examine(t.Context(), UnpackOptions{StateDir: t.TempDir(), Functions: []Archive{a}}); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("lost")
	a.Open = func() (io.ReadCloser, error) { return nil, lost }
	if _, err := e.Examine(t.Context(), UnpackOptions{StateDir: t.TempDir(), Functions: []Archive{a}}); !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
}

// TestExamine: it says what Unpack says, at once or remembered, and leaves nothing.
func TestExamine(t *testing.T) {
	all, state := layouts(t), t.TempDir()
	want := unpackAll(t, t.TempDir(), all...)
	var e Examiner
	var read []string
	for round := range 3 {
		read = nil
		got, err := e.Examine(t.Context(), UnpackOptions{StateDir: state, Functions: counted(all, &read), Env: map[string]string{"CONTEXT": "production"}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Warnings, want.Warnings) || len(got.Functions) != len(want.Functions) {
			t.Errorf("%d functions, %q", len(got.Functions), got.Warnings)
		}
		for i, f := range got.Functions {
			w := want.Functions[i]
			if f.Bundle.Function != w.Bundle.Function || !reflect.DeepEqual(f.Bundle.Config, w.Bundle.Config) || !reflect.DeepEqual(f.Policy, w.Policy) || !reflect.DeepEqual(f.Err, w.Err) {
				t.Errorf("round %d: %+v, want %+v", round, f, w)
			}
		}
		if again := []string{"empty", "odd"}; round > 0 && !slices.Equal(read, again) { // what is wrong with them may have passed
			t.Errorf("read again: %q, want %q", read, again)
		}
		if left := inStore(t, state); len(left) != 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// TestExamineReadsWhatIsNew: all that an archive is read by counts.
func TestExamineReadsWhatIsNew(t *testing.T) {
	data := pack(t, entry{"fn.js", "", nil})
	first := uploaded("fn", data)
	other, declared, packed := uploaded("fn", pack(t, entry{"fn.js", "// other", nil})), first, first
	declared.Config.Schedule, packed.Packed = "@daily", true
	var e Examiner
	examine := func(a Archive, env map[string]string) (read []string, f Function) {
		t.Helper()
		got, err := e.Examine(t.Context(), UnpackOptions{StateDir: t.TempDir(), Functions: counted([]Archive{a}, &read), Env: env})
		if err != nil {
			t.Fatal(err)
		}
		return read, got.Functions[0]
	}
	examine(first, nil)
	for name, c := range map[string]struct {
		archive Archive
		env     map[string]string
		fails   bool
	}{
		"another archive": {other, nil, false}, "another name": {uploaded("gn", data), nil, true}, "a declared schedule": {declared, nil, false},
		"a packed one": {packed, nil, true}, "other variables": {first, map[string]string{"CONTEXT": "production"}, false},
	} {
		if read, f := examine(c.archive, c.env); len(read) != 1 || (f.Err != nil) != c.fails {
			t.Errorf("%s: read %q, %v", name, read, f.Err)
		}
	}
	var read []string
	if _, err := e.Examine(t.Context(), UnpackOptions{StateDir: t.TempDir(), Owner: "another", Functions: counted([]Archive{first}, &read)}); err != nil || len(read) != 1 {
		t.Errorf("of another owner's: read %q, %v", read, err)
	}
	if read, f := examine(declared, nil); len(read) != 0 || f.Bundle.Config.Schedule != "@daily" {
		t.Errorf("read %q, %+v", read, f.Bundle)
	}
	if read, _ := examine(first, nil); len(read) != 0 {
		t.Errorf("read again: %q", read)
	}
}

// TestExaminedArchivesCount: an archive that is remembered takes as much of its deploy's bounds as one that is read.
func TestExaminedArchivesCount(t *testing.T) {
	for _, most := range []taken{{Packed: maxDeploy + 1}, {Bytes: maxDeploy + 1}, {Entries: maxDeployNames + 1}} {
		for _, half := range []bool{false, true} {
			out := output{took: most}
			r := reading{job: job{Bytes: maxDeploy, Entries: maxDeployNames}, left: maxDeploy, built: make([]output, 2)}
			if half {
				out.took = taken{most.Packed/2 + 1, most.Bytes/2 + 1, most.Entries/2 + 1}
				if err := r.add(0, out); err != nil {
					t.Error(err)
				}
			}
			if err := r.add(1, out); weir.ErrorCode(err) != weir.TooLarge {
				t.Errorf("%+v: %v", out.took, err)
			}
		}
	}
	var e Examiner
	a := uploaded("fn", pack(t, entry{"fn.js", "12345", nil}, entry{"lib/a.js", "", nil}))
	if _, err := e.Examine(t.Context(), UnpackOptions{StateDir: t.TempDir(), Functions: []Archive{a}}); err != nil {
		t.Fatal(err)
	}
	if out, ok := e.find("", a, sitepolicy.Visible(nil)); !ok || out.took.Packed < 100 || out.took.Bytes != 5 || out.took.Entries != 3 {
		t.Errorf("%v %+v", ok, out.took)
	}
}

// TestExaminerForgets: what nobody asks for makes room.
func TestExaminerForgets(t *testing.T) {
	var e Examiner
	large := output{warnings: []string{string(make([]byte, maxExamined/100))}}
	asked := Archive{Name: "asked"}
	e.note("", asked, nil, output{name: "asked"})
	for i := range 1000 {
		e.note("", Archive{Name: string(rune('a' + i))}, nil, large)
		if out, ok := e.find("", asked, nil); !ok || out.name != "asked" {
			t.Fatalf("after %d others, it is forgotten", i)
		}
	}
	if n := len(e.now) + len(e.older); n > 250 {
		t.Errorf("%d are remembered", n)
	}
	if _, ok := e.find("", Archive{Name: "a"}, nil); ok {
		t.Error("the first is remembered")
	}
}
