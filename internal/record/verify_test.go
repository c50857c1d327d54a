package record

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// chain writes records to files that follow each other, and gives their names.
func chain(t testing.TB, files int, o FileOptions) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records")
	o.MaxSize = 2000
	f := open(t, path, o)
	for i := 0; len(rotated(path)) < files-1; i++ {
		f.Invoked(Invocation{Time: noon, Function: "fn", Request: fmt.Sprint(i), Outcome: "ok"})
	}
	f.Decided(Decision{Time: noon, Verdict: Deny, Function: "fn", Kind: "http", Target: "https://evil.test/"})
	f.Invoked(Invocation{Time: noon, Function: "fn", Request: "last", Outcome: "ok"})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return Files(path)
}

// verify checks the files given.
func verify(t testing.TB, names ...string) []Checked {
	t.Helper()
	var files []*os.File
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	got, err := verifyFiles(files, []PublicKey{testKey().Public()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func whole(files []Checked) bool {
	return !slices.ContainsFunc(files, func(c Checked) bool { return c.Broken != nil })
}

func TestVerifyOfWhatWasWritten(t *testing.T) {
	files := chain(t, 3, FileOptions{})
	got := verify(t, files...)
	if len(got) != 3 || !whole(got) {
		t.Fatalf("%+v", got)
	}
	for i, want := range []State{Sealed, Sealed, Closed} {
		if c := got[i]; c.State != want || c.Unsigned != 0 || c.Seq != i+1 || c.Lines != bytes.Count(read(t, files[i]), []byte("\n")) || len(c.Notes) != 0 {
			t.Errorf("%+v", c)
		}
	}
}

// TestVerifyCatchesAnyChangedByte changes each byte of a closed file to each of a few others.
func TestVerifyCatchesAnyChangedByte(t *testing.T) {
	whole := read(t, chain(t, 1, FileOptions{})[0])
	for i := range whole {
		for _, c := range []byte{whole[i] ^ 1, whole[i] ^ 0x20, '\n'} {
			if c == whole[i] {
				continue
			}
			b := bytes.Clone(whole)
			b[i] = c
			got := verifier{keys: []PublicKey{testKey().Public()}, Checked: Checked{State: Open, Head: noHash}}
			if err := got.check(bytes.NewReader(b), nil); err != nil {
				t.Fatal(err)
			}
			// Without its end the last line is none: all that is left to see is that nobody closed the file.
			if got.Broken == nil && (i != len(whole)-1 || got.State != Open) {
				t.Fatalf("byte %d of %d, %q for %q: %+v", i, len(whole), c, whole[i], got.Checked)
			}
		}
	}
}

// relink gives lines the right hashes again, as anybody can, and keeps the signatures.
func relink(lines [][]byte) []byte {
	var out []byte
	prev := ""
	for i, line := range lines {
		sig := ""
		if rest, s, ok := without(line, "sig", sigLen); ok {
			line, sig = rest, s
		}
		if rest, _, ok := without(line, "prev", hashLen); ok && i > 0 {
			line = with(nil, rest, "prev", prev)
		}
		if sig != "" {
			line = with(nil, line, "sig", sig)
		}
		out = append(out, line...)
		prev = Hash(line)
	}
	return out
}

func TestVerifyNamesTheBrokenLink(t *testing.T) {
	record := func(request string) []byte {
		return link(nil, appendInvocation(nil, Invocation{Time: noon, Function: "fn", Request: request, Outcome: "ok"}), noHash, nil)
	}
	without := func(l [][]byte, i int) [][]byte { return slices.Delete(slices.Clone(l), i, i+1) }
	other := read(t, chain(t, 1, FileOptions{})[0])
	for name, c := range map[string]struct {
		change func(l [][]byte) []byte // of header, checkpoint, decision, invocation, closing checkpoint
		line   int
		want   string
	}{
		"a removed line":              {func(l [][]byte) []byte { return bytes.Join(without(l, 2), nil) }, 3, "does not follow line 2"},
		"swapped lines":               {func(l [][]byte) []byte { l[2], l[3] = l[3], l[2]; return bytes.Join(l, nil) }, 3, "does not follow line 2"},
		"a line twice":                {func(l [][]byte) []byte { return bytes.Join(slices.Insert(l, 3, l[2]), nil) }, 4, "does not follow line 3"},
		"a line removed and relinked": {func(l [][]byte) []byte { return relink(without(l, 2)) }, 4, "what follows line 2 was rewritten"},
		"a line changed and relinked": {func(l [][]byte) []byte {
			l[2] = bytes.Replace(l[2], []byte("evil"), []byte("good"), 1)
			return relink(l)
		}, 5, "what follows line 2 was rewritten"},
		"a line put in and relinked":     {func(l [][]byte) []byte { return relink(slices.Insert(l, 2, record("x"))) }, 6, "rewritten"},
		"a line after the end, relinked": {func(l [][]byte) []byte { return relink(append(l, record("x"))) }, 6, "no writer says that it went on"},
		"a line without a chain":         {func(l [][]byte) []byte { return append(bytes.Join(l, nil), invLine+"\n"...) }, 6, "not chained"},
		"a checkpoint without a signature": {func(l [][]byte) []byte {
			return append(bytes.Join(l[:4], nil), bytes.Replace(l[4], []byte(`,"sig"`), []byte(`,"sog"`), 1)...)
		}, 5, "without a signature"},
		"a checkpoint moved, relinked":    {func(l [][]byte) []byte { return relink([][]byte{l[0], l[1], l[3], l[4]}) }, 4, "rewritten"},
		"a header removed":                {func(l [][]byte) []byte { return bytes.Join(l[1:], nil) }, 1, "not a header"},
		"a header put in again, relinked": {func(l [][]byte) []byte { return relink(append(l[:4:4], l[0])) }, 5, "second header"},
		"a forged header, relinked": {func(l [][]byte) []byte {
			l[0] = bytes.Replace(l[0], []byte(`"seq":1`), []byte(`"seq":2`), 1)
			return relink(l)
		}, 2, "what follows line 0 was rewritten"},
		"a header of another key": {func(l [][]byte) []byte {
			l[0] = bytes.Replace(l[0], []byte(testKey().Public().ID()), []byte(noHash), 1)
			return relink(l)
		}, 1, "none of those given"},
		"another file's lines, relinked": {func(l [][]byte) []byte {
			theirs := slices.Collect(bytes.Lines(other))
			return relink(append(l[:2:2], theirs[2:]...))
		}, 5, "rewritten"},
		"nothing signed": {func(l [][]byte) []byte { return relink([][]byte{l[0], l[2], l[3]}) }, 0, "nothing in it is signed"},
		"nothing":        {func([][]byte) []byte { return nil }, 0, "empty"},
		"plain records":  {func([][]byte) []byte { return []byte(invLine + "\n") }, 1, "never chained"},
		"not records":    {func(l [][]byte) []byte { return append(bytes.Join(l[:2], nil), "hello\n"...) }, 3, "can't be understood"},
		"too long a tail": {func(l [][]byte) []byte {
			return relink(append(l[:2:2], slices.Repeat([][]byte{record("x")}, mostUnsigned+1)...))
		}, 3, "more than a writer leaves"},
		"a forged beginning": {func(l [][]byte) []byte { return relink([][]byte{l[0], l[2], resumedLine(t, false), l[1]}) }, 3, "the beginning of the file was replaced"},
		"a long stretch before a forged resume": {func(l [][]byte) []byte {
			return relink(append(append(l[:2:2], slices.Repeat([][]byte{record("x")}, mostUnsigned+1)...), resumedLine(t, false)))
		}, 3, "more than a writer leaves"},
		"an untrue resume": {func(l [][]byte) []byte { return relink(append(l[:4:4], resumedLine(t, true))) }, 5, "it says how the file ended before"},
		"another untrue":   {func(l [][]byte) []byte { return relink(append(l, resumedLine(t, false))) }, 6, "it says how the file ended before"},
	} {
		t.Run(name, func(t *testing.T) {
			path := chain(t, 1, FileOptions{})[0]
			lines := slices.Collect(bytes.Lines(read(t, path)))
			if len(lines) != 5 {
				t.Fatalf("%d lines", len(lines))
			}
			write(t, path, c.change(lines))
			b := verify(t, path)[0].Broken
			if b == nil || b.Line != c.line || !strings.Contains(b.Meaning, c.want) {
				t.Errorf("%+v, want line %d: %s", b, c.line, c.want)
			}
		})
	}
}

func resumedLine(t *testing.T, closed bool) []byte {
	line, err := encode(struct {
		mark
		Resumed
	}{mark{Version, "resumed"}, Resumed{Time: noon, Closed: closed}})
	if err != nil {
		t.Fatal(err)
	}
	return link(nil, line, noHash, nil)
}

// TestVerifyOfFilesThatFollowEachOther: what one file alone can't show, its neighbours do.
func TestVerifyOfFilesThatFollowEachOther(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f []string) []string // of three files
		file   int                       // the broken one of those given; -1: none
		line   int                       // 0: its end
		want   string
	}{
		"a missing file":     {func(f []string) []string { return []string{f[0], f[2]} }, 1, 1, "a file between them is missing"},
		"a file twice":       {func(f []string) []string { return []string{f[0], f[0]} }, 1, 1, "does not go on where"},
		"files in disorder":  {func(f []string) []string { return []string{f[1], f[0]} }, 1, 1, "does not go on where"},
		"the last one alone": {func(f []string) []string { return f[2:] }, -1, 0, "file 2 of the chain ended, which is not here"},
		"another sealed file in its place": {func(f []string) []string {
			write(t, f[1], read(t, chain(t, 3, FileOptions{})[1]))
			return f
		}, 1, 1, "was replaced"},
		"a sealed file cut to a checkpoint": {func(f []string) []string {
			lines := slices.Collect(bytes.Lines(read(t, f[1])))
			write(t, f[1], bytes.Join(lines[:2], nil))
			return f
		}, 2, 1, "was replaced or cut off"},
		"lines after a seal": {func(f []string) []string {
			lines := slices.Collect(bytes.Lines(read(t, f[0])))
			write(t, f[0], relink(append(lines, lines[2])))
			return f
		}, 0, 0, "follows the seal"},
		"half a line after a seal": {func(f []string) []string {
			write(t, f[0], append(read(t, f[0]), "half"...))
			return f[:1]
		}, 0, 0, "it was added"},
	} {
		t.Run(name, func(t *testing.T) {
			files := c.change(chain(t, 3, FileOptions{}))
			got := verify(t, files...)
			for i, g := range got {
				if (g.Broken != nil) != (i == c.file) {
					t.Fatalf("file %d: %+v %+v", i, g, g.Broken)
				}
			}
			if c.file < 0 {
				if notes := strings.Join(got[0].Notes, "\n"); !strings.Contains(notes, c.want) {
					t.Errorf("notes %q", notes)
				}
				return
			}
			b := got[c.file].Broken
			last := bytes.Count(read(t, files[c.file]), []byte("\n"))
			if b.Line != c.line && (c.line > 0 || b.Line < last) || !strings.Contains(b.Meaning, c.want) {
				t.Errorf("%+v, want line %d: %s", b, c.line, c.want)
			}
		})
	}
}

// TestVerifySaysWhatItCannotKnow: the end of the last file can be cut off where it is not signed, or at a
// checkpoint. That it was not closed is all there is to see.
func TestVerifySaysWhatItCannotKnow(t *testing.T) {
	path := chain(t, 1, FileOptions{})[0]
	all := read(t, path)
	lines := slices.Collect(bytes.Lines(all))
	for n, unsigned := range map[int]int{2: 0, 3: 1, 4: 2} {
		write(t, path, bytes.Join(lines[:n], nil))
		if c := verify(t, path)[0]; c.Broken != nil || c.State != Open || c.Unsigned != unsigned {
			t.Errorf("cut to %d lines: %+v %+v", n, c, c.Broken)
		}
	}
	write(t, path, all[:len(all)-len(lines[4])-1])
	if c := verify(t, path)[0]; c.Broken != nil || c.State != Open || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "not whole") {
		t.Errorf("cut within a line: %+v", c)
	}
	write(t, path, relink([][]byte{lines[0], lines[1], bytes.Replace(lines[2], []byte("evil"), []byte("good"), 1)}))
	if c := verify(t, path)[0]; c.Broken != nil || c.State != Open || c.Unsigned != 1 {
		t.Errorf("an unsigned line rewritten: %+v %+v", c, c.Broken)
	}
}

func TestVerifyFindsTheFilesOfAPath(t *testing.T) {
	path := chain(t, 3, FileOptions{})[2]
	keys := []PublicKey{testKey().Public()}
	got, err := Verify(path, keys, nil)
	if err != nil || len(got) != 3 || !whole(got) {
		t.Errorf("%v %+v", err, got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	got, err = Verify(path, keys, nil)
	if err != nil || len(got) != 2 || !whole(got) || !strings.Contains(strings.Join(got[1].Notes, ""), "which followed, is not there") {
		t.Errorf("%v %+v", err, got)
	}
}

// TestVerifyTellsOfARemovedFile: the newest file is removed, be it that a full one gets its name or that
// a writer goes on.
func TestVerifyTellsOfARemovedFile(t *testing.T) {
	files := chain(t, 3, FileOptions{})
	path := files[2]
	told := func(want string) {
		t.Helper()
		got, err := Verify(path, []PublicKey{testKey().Public()}, nil)
		if err != nil || !whole(got) || !strings.Contains(strings.Join(got[len(got)-1].Notes, ""), want) {
			t.Errorf("%v %+v, want a note: %s", err, got, want)
		}
	}
	if err := os.Rename(files[1], path); err != nil {
		t.Fatal(err)
	}
	told("which followed, is not there")
	if err := open(t, path, FileOptions{}).Close(); err != nil {
		t.Fatal(err)
	}
	told("file 2 of the chain was sealed and the one that followed was not there")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, FileOptions{}).Close(); err != nil {
		t.Fatal(err)
	}
	told("file 2 of the chain was sealed and the one that followed was not there")
	if got, err := Verify(files[1], []PublicKey{testKey().Public()}, nil); err != nil || !whole(got) || len(got[0].Notes) != 1 {
		t.Errorf("a full file by itself: %v %+v", err, got)
	}
}

func TestVerifyWithoutTheKey(t *testing.T) {
	path := chain(t, 1, FileOptions{})[0]
	other, err := LoadKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]PublicKey{nil, {other.Public()}} {
		got, err := Verify(path, keys, nil)
		if err != nil || got[0].Broken == nil || !strings.Contains(got[0].Broken.Meaning, "none of those given") {
			t.Errorf("%v %+v", err, got)
		}
	}
	if got, err := Verify(path, []PublicKey{other.Public(), testKey().Public()}, nil); err != nil || !whole(got) {
		t.Errorf("%v %+v", err, got)
	}
	if _, err := Verify(path+"x", nil, nil); weir.ErrorCode(err) != weir.NotFound {
		t.Errorf("error %v", err)
	}
}

// TestHashesAreThoseOfSha256sum: the documentation says how to check a link by hand.
func TestHashesAreThoseOfSha256sum(t *testing.T) {
	if got := Hash([]byte("abc\n")); got != "edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb" {
		t.Error(got)
	}
}

// FuzzVerify: whatever a file holds, checking it ends; and what is said to be closed or sealed by the
// server's key is the file that the server wrote.
func FuzzVerify(f *testing.F) {
	var files [][]byte
	for _, path := range chain(f, 2, FileOptions{}) {
		files = append(files, read(f, path))
		f.Add(files[len(files)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v := verifier{keys: []PublicKey{testKey().Public()}, Checked: Checked{State: Open, Head: noHash}}
		if err := v.check(bytes.NewReader(b), nil); err != nil {
			t.Fatal(err)
		}
		if v.Broken != nil {
			if v.Broken.Meaning == "" || v.Broken.Line > bytes.Count(b, []byte("\n"))+1 {
				t.Errorf("%+v", v.Broken)
			}
			return
		}
		if v.State != Open && !slices.ContainsFunc(files, func(file []byte) bool { return bytes.HasPrefix(b, file) }) {
			t.Errorf("%s, but nobody wrote it: %q", v.State, b)
		}
	})
}
