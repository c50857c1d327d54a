package record

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// requests gives the invocations that files hold, in order.
func requests(t *testing.T, files []string) []string {
	t.Helper()
	var out []string
	for _, path := range files {
		if err := Read(bytes.NewReader(read(t, path)), func(e Entry) error {
			if e.Invocation != nil {
				out = append(out, e.Invocation.Request)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func invoked(f *File, from, to int) {
	for i := from; i < to; i++ {
		f.Invoked(Invocation{Time: noon, Function: "fn", Request: fmt.Sprint(i), Outcome: "ok"})
	}
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func TestRecordsAreBounded(t *testing.T) {
	const size, keep, n = 4000, 3, 200
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{MaxSize: size, Keep: keep})
	invoked(f, 0, n)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	files := Files(path)
	if len(files) != keep {
		t.Fatalf("%v", files)
	}
	for _, path := range files {
		if n := len(read(t, path)); n > size {
			t.Errorf("%s has %d bytes", path, n)
		}
	}
	got := verify(t, files...)
	if !whole(got) || got[0].State != Sealed || !strings.Contains(strings.Join(got[0].Notes, ""), "not here to compare") {
		t.Errorf("%+v", got)
	}
	have := requests(t, files)
	if want := numbers(n-len(have), n); len(have) < 10 || !slices.Equal(have, want) {
		t.Errorf("%v", have)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != keep+1 { // and the lock
		t.Errorf("%v %v", left, err)
	}
}

// TestEveryEndIsFound: however a writer ended, the next one goes on with the chain, says what it found,
// and loses no record that was whole.
func TestEveryEndIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		crash func(t *testing.T, path string) // what happens to a closed file of ten records
		files int
		want  string // in the last file
		gone  int    // records
	}{
		"closed":       {func(*testing.T, string) {}, 1, `"type":"resumed","time":"…","closed":true,"prev"`, 0},
		"not closed":   {func(t *testing.T, path string) { cut(t, path, 1, "") }, 1, `"closed":false,"prev"`, 0},
		"a torn line":  {func(t *testing.T, path string) { cut(t, path, 2, `{"v":2,"type":"inv`) }, 1, `"closed":false,"torn":18,"prev"`, 1},
		"a torn close": {func(t *testing.T, path string) { cut(t, path, 1, `{`) }, 1, `"closed":false,"torn":1,"prev"`, 0},
		"sealed but not put aside": {func(t *testing.T, path string) {
			cut(t, path, 1, "")
			f := open(t, path, FileOptions{})
			if err := f.checkpoint(Sealed); err != nil {
				t.Fatal(err)
			}
			kill(f)
		}, 2, `"seq":2`, 0},
		"put aside without a next": {func(t *testing.T, path string) {
			f := open(t, path, FileOptions{})
			if err := f.checkpoint(Sealed); err != nil {
				t.Fatal(err)
			}
			if _, err := f.aside(1); err != nil {
				t.Fatal(err)
			}
			kill(f)
		}, 2, `"seq":2`, 0},
		"an empty next file": {func(t *testing.T, path string) {
			f := open(t, path, FileOptions{})
			if err := f.checkpoint(Sealed); err != nil {
				t.Fatal(err)
			}
			if _, err := f.aside(1); err != nil {
				t.Fatal(err)
			}
			write(t, path, nil)
			kill(f)
		}, 2, `"seq":2`, 0},
		"a next file half made": {func(t *testing.T, path string) { write(t, beside(path, "new"), []byte(`{"v":2,`)) }, 1, `"closed":true`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "records")
			f := open(t, path, FileOptions{})
			invoked(f, 0, 10)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			c.crash(t, path)
			f = open(t, path, FileOptions{})
			invoked(f, 10, 20)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			files := Files(path)
			if got := verify(t, files...); !whole(got) || len(got) != c.files || got[len(got)-1].State != Closed {
				t.Fatalf("%+v", got)
			}
			if got := requests(t, files); !slices.Equal(got, slices.Concat(numbers(0, 10-c.gone), numbers(10, 20))) {
				t.Errorf("%v", got)
			}
			if last := string(timeless(read(t, path))); !strings.Contains(last, c.want) {
				t.Errorf("no %s in\n%s", c.want, last)
			}
		})
	}
}

// kill ends a writer as a crash does: nothing more is written.
func kill(f *File) {
	close(f.stop)
	f.done.Wait()
	f.agg.close()
	f.f.Close()
	f.lock.Close()
}

// cut takes the last n lines from a file and puts other text there.
func cut(t *testing.T, path string, n int, text string) {
	lines := slices.Collect(bytes.Lines(read(t, path)))
	write(t, path, append(bytes.Join(lines[:len(lines)-n], nil), text...))
}

func timeless(b []byte) []byte {
	var out []byte
	for line := range bytes.Lines(b) {
		if before, after, ok := bytes.Cut(line, []byte(`"time":"`)); ok {
			_, after, _ = bytes.Cut(after, []byte(`"`))
			line = slices.Concat(before, []byte(`"time":"…"`), after)
		}
		out = append(out, line...)
	}
	return out
}

// TestVerifyTellsOfACrash: what was not signed when a writer ended is not vouched for by the next one.
func TestVerifyTellsOfACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{})
	invoked(f, 0, 3)
	kill(f)
	f = open(t, path, FileOptions{})
	invoked(f, 3, 4)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	c := verify(t, path)[0]
	if c.Broken != nil || c.Unsigned != 3 || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "up to line 5 it ended without being closed") {
		t.Errorf("%+v %+v", c, c.Broken)
	}
}

func TestRecordsAreSignedWhileTheyAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{})
	defer f.Close()
	invoked(f, 0, 2*signRecords+10)
	if c := verify(t, path)[0]; c.Broken != nil || c.Unsigned > signRecords {
		t.Errorf("%+v %+v", c, c.Broken)
	}
}

// TestTrapsBeside: in a folder where others may write, a link in the place of Weir's own files leads
// nowhere.
func TestTrapsBeside(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "records"), filepath.Join(dir, "victim")
	write(t, victim, []byte("mine"))
	if err := os.Symlink(victim, beside(path, "new")); err != nil {
		t.Fatal(err)
	}
	open(t, path, FileOptions{}).Close()
	os.Remove(beside(path, "lock"))
	if err := os.Symlink(victim, beside(path, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(path, FileOptions{Key: testKey()}); err == nil {
		t.Error("the lock is taken through a link")
	}
	if got := string(read(t, victim)); got != "mine" {
		t.Errorf("the victim holds %.40q", got)
	}
}

func TestOneWriterAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{})
	if _, err := OpenFile(path, FileOptions{Key: testKey()}); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "another process writes") {
		t.Errorf("error %v", err)
	}
	f.Close()
	open(t, path, FileOptions{}).Close()
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"notes": "buy milk", "lines": "buy milk\n", "plain": invLine + "\n", "later": `{"v":3,"type":"header"}` + "\n", "long": strings.Repeat("x", 3*maxLine)} {
		path := filepath.Join(dir, name)
		write(t, path, []byte(text))
		if _, err := OpenFile(path, FileOptions{Key: testKey()}); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
		if got := string(read(t, path)); got != text {
			t.Errorf("%s was changed to %.80q", name, got)
		}
	}
	for _, path := range []string{dir, "/dev/null"} {
		if _, err := OpenFile(path, FileOptions{Key: testKey()}); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

func TestAnotherKeyBeginsANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	other, err := LoadKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*Key{testKey(), other} {
		f := open(t, path, FileOptions{Key: k})
		invoked(f, 0, 1)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Verify(path, []PublicKey{testKey().Public(), other.Public()}, nil)
	if err != nil || len(got) != 2 || !whole(got) || got[0].State != Closed || len(got[1].Notes) != 1 {
		t.Errorf("%v %+v", err, got)
	}
}

// TestMovedFile: logrotate and people move and remove files. Records go on where they are looked for.
func TestMovedFile(t *testing.T) {
	for name, move := range map[string]func(path string) error{
		"moved":    func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error { os.Rename(path, path+".old"); return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "records")
			f := open(t, path, FileOptions{})
			invoked(f, 0, 3)
			if err := move(path); err != nil {
				t.Fatal(err)
			}
			f.stay()
			invoked(f, 3, 6)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if got := verify(t, path+".old", path); !whole(got) || got[0].State != Sealed {
				t.Errorf("%+v", got)
			}
			if got := requests(t, []string{path + ".old", path}); !slices.Equal(got, numbers(0, 6)) {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestNoNextFile: if the next file can't be begun, records go on in this one, and nothing is broken.
func TestNoNextFile(t *testing.T) {
	for name, hinder := range map[string]func(path string) error{
		"another file in its place": func(path string) error { os.Remove(path); return os.WriteFile(path, []byte("x"), 0o600) },
		"its number is taken":       func(path string) error { return os.WriteFile(numbered(path, 1), []byte("x"), 0o600) },
		"no room beside":            func(path string) error { return os.MkdirAll(filepath.Join(beside(path, "new"), "x"), 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "records")
			var log bytes.Buffer
			f := open(t, path, FileOptions{MaxSize: 2000, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			link := path + ".link"
			if err := os.Link(path, link); err != nil {
				t.Fatal(err)
			}
			if err := hinder(path); err != nil {
				t.Fatal(err)
			}
			invoked(f, 0, 50)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if got := verify(t, link); !whole(got) || got[0].State != Closed {
				t.Errorf("%+v %+v", got, got[0].Broken)
			}
			if got := requests(t, []string{link}); !slices.Equal(got, numbers(0, 50)) {
				t.Errorf("%v", got)
			}
			if n := strings.Count(log.String(), "can't be begun"); n != 1 {
				t.Errorf("told %d times:\n%s", n, &log)
			}
		})
	}
}

func TestRecordsThroughALink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "real", "records")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, path, FileOptions{}).Close()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	f := open(t, link, FileOptions{MaxSize: 2000})
	invoked(f, 0, 20)
	f.Close()
	if got := Files(path); len(got) < 2 || !whole(verify(t, got...)) {
		t.Errorf("%v", got)
	}
	if _, err := os.Readlink(link); err != nil {
		t.Error(err)
	}
}

func TestFilesOfAPath(t *testing.T) {
	for name, want := range map[string]bool{"/d/r": true, "/d/r.000001": true, "/d/r.1000000": true, "/d/r.1": false, "/d/r.000000": false, "/d/r.js": false, "/d/r.000001.gz": false, "/d/q.000001": false, "/d": false} {
		if got := IsOf("/d/r", name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
