package build

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// entry is one entry of an archive; change may alter its header.
type entry struct {
	name, text string
	change     func(*zip.FileHeader)
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(0o644)
		if e.change != nil {
			e.change(h)
		}
		to, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// buildZip builds a site whose one function fn is an archive.
func buildZip(t *testing.T, archive []byte) (state string, f Function) {
	t.Helper()
	dir, state := t.TempDir(), t.TempDir()
	put(t, filepath.Join(dir, "netlify/functions/fn.zip"), string(archive))
	a := build(t, dir, state)
	t.Cleanup(a.Close)
	if len(a.Functions) != 1 {
		t.Fatalf("%+v", a.Functions)
	}
	return state, a.Functions[0]
}

func TestArchivesAreKeptWhole(t *testing.T) {
	executable := func(h *zip.FileHeader) { h.SetMode(0o755) }
	_, f := buildZip(t, pack(t, entry{"fn.js", "module.exports = require('./functions/fn.js')", nil}, entry{"functions/fn.js", "exports.handler = 1", nil},
		entry{"bin/", "", func(h *zip.FileHeader) { h.Method = zip.Store }}, entry{"bin/tool", "#!", executable}))
	if f.Err != nil {
		t.Fatal(f.Err)
	}
	want := weir.Bundle{Function: "fn", Dir: f.Bundle.Dir, Entry: "fn.js", Export: "handler", Addons: f.Bundle.Addons, Config: weir.FunctionConfig{Form: weir.FormV1}}
	if !reflect.DeepEqual(f.Bundle, want) {
		t.Errorf("%+v", f.Bundle)
	}
	if got, err := os.ReadFile(filepath.Join(f.Bundle.Dir, "functions/fn.js")); err != nil || string(got) != "exports.handler = 1" {
		t.Errorf("%q %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(f.Bundle.Dir, "bin/tool")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", info, err)
	}
}

func TestArchiveOfV2(t *testing.T) {
	v2 := []entry{{"___netlify-entry-point.mjs", "import * as bootstrap from './___netlify-bootstrap.mjs';export const handler = bootstrap.getLambdaHandler('./functions/fn.mjs')", nil},
		{"___netlify-metadata.json", `{"bootstrap_version":"2.18.0","version":1}`, nil},
		{"functions/fn.mjs", "var f = 1, config = { path: '/a/:id' };\nexport {\n  config,\n  f as default\n};", nil}}
	_, f := buildZip(t, pack(t, v2...))
	want := weir.FunctionConfig{Form: weir.FormV2, Paths: []string{"/a/:id"}}
	if f.Err != nil || f.Bundle.Entry != "___netlify-entry-point.mjs" || !reflect.DeepEqual(f.Bundle.Config, want) {
		t.Errorf("%+v %v", f.Bundle, f.Err)
	}
	v2[1].text = `{"version":2}`
	if _, f := buildZip(t, pack(t, v2...)); f.Err == nil || !strings.Contains(f.Err.Error(), "of a version that isn't known") {
		t.Errorf("%v", f.Err)
	}
}

// TestHostileArchives: none does harm, none is served, each is told, and nothing of it is left.
func TestHostileArchives(t *testing.T) {
	fn := entry{"fn.js", "exports.handler = 1", nil}
	plain := pack(t, fn)
	link := func(h *zip.FileHeader) { h.SetMode(0o777 | os.ModeSymlink) }
	for name, c := range map[string]struct {
		archive []byte
		want    string
	}{
		"up":                 {pack(t, fn, entry{"../evil.js", "x", nil}), "leads elsewhere"},
		"up, inside":         {pack(t, fn, entry{"a/../../evil.js", "x", nil}), "leads elsewhere"},
		"absolute":           {pack(t, fn, entry{"/tmp/evil.js", "x", nil}), "leads elsewhere"},
		"backslash":          {pack(t, fn, entry{`..\evil.js`, "x", nil}), "leads elsewhere"},
		"NUL":                {pack(t, fn, entry{"a\x00b", "x", nil}), "leads elsewhere"},
		"dot":                {pack(t, fn, entry{"./fn.js", "x", nil}), "leads elsewhere"},
		"not UTF-8":          {pack(t, fn, entry{"\xff", "x", nil}), "leads elsewhere"},
		"long name":          {pack(t, fn, entry{strings.Repeat("a/", 600), "", nil}), "leads elsewhere"},
		"device":             {pack(t, fn, entry{"null", "", func(h *zip.FileHeader) { h.SetMode(0o666 | os.ModeDevice | os.ModeCharDevice) }}), "is a device"},
		"pipe":               {pack(t, fn, entry{"pipe", "", func(h *zip.FileHeader) { h.SetMode(0o666 | os.ModeNamedPipe) }}), "is a device"},
		"link, absolute":     {pack(t, fn, entry{"passwd", "/etc/passwd", link}), "a link that leads elsewhere"},
		"link, up":           {pack(t, fn, entry{"a/up", "../../passwd", link}), "a link that leads elsewhere"},
		"link, by a link":    {pack(t, fn, entry{"a/b/top", "../..", link}, entry{"up", "a/b/top/../passwd", link}), "a link that leads elsewhere"},
		"link, backslash":    {pack(t, fn, entry{"up", `..\passwd`, link}), "a link that leads elsewhere"},
		"link, nowhere":      {pack(t, fn, entry{"up", "", link}), "a link that leads elsewhere"},
		"link, long":         {pack(t, fn, entry{"up", strings.Repeat("a/", 600), link}), "of more than 1024 bytes"},
		"below a link":       {pack(t, fn, entry{"a", ".", link}, entry{"a/fn.js", "x", nil}), "there twice"},
		"own file is a link": {pack(t, entry{"fn.js", "a/fn.js", link}, entry{"a/fn.js", "exports.handler = 1", nil}), "is a link"},
		"many entries":       {pack(t, slices.Repeat([]entry{{"a", "", func(h *zip.FileHeader) { h.Method = zip.Store }}}, 20_001)...), "20000 are the most"},
		"long comments":      {pack(t, slices.Repeat([]entry{{"a", "", func(h *zip.FileHeader) { h.Method, h.Comment = zip.Store, strings.Repeat("x", 1<<16-1) }}}, 140)...), "takes more than 8 MB"},
		"twice":              {pack(t, fn, fn), "there twice"},
		"case":               {pack(t, fn, entry{"FN.js", "x", nil}), "there twice"},
		"case of folders":    {pack(t, fn, entry{"a/x", "x", nil}, entry{"A/y", "y", nil}), "there twice"},
		"file and folder":    {pack(t, fn, entry{"a", "x", nil}, entry{"a/b", "y", nil}), "there twice"},
		"encrypted":          {flagged(plain, 1), "is encrypted"},
		"unknown method":     {method(plain, 99), "by a method that isn't known"},
		"too large":          {sized(plain, 300<<20), "more than 250 MB"},
		"more than it says":  {sized(pack(t, entry{"fn.js", strings.Repeat("x", 1000), nil}), 10), "is damaged"},
		"packed too well":    {pack(t, fn, entry{"zeros", strings.Repeat("\x00", 40<<20), nil}), "packed more than 200 times"},
		"folders in folders": {pack(t, deep(200)...), "more than 20000 folders"},
		"no function":        {pack(t, entry{"other.js", "x", nil}), "holds no fn.js"},
		"empty":              {pack(t), "holds no fn.js"},
		"no archive":         {[]byte("PK no archive"), "no zip file"},
		"cut off":            {plain[:len(plain)-10], "no zip file"},
		"damaged":            {bytes.Replace(pack(t, entry{"fn.js", "exports.handler = 1", func(h *zip.FileHeader) { h.Method = zip.Store }}), []byte("handler"), []byte("hand1er"), 1), "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state, f := buildZip(t, c.archive)
			if f.Err == nil || !strings.Contains(f.Err.Error(), c.want) || !strings.Contains(f.Err.Error(), "netlify/functions/fn.zip") {
				t.Errorf("%v", f.Err)
			}
			if left := inStore(t, state); len(left) > 1 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// deep gives n entries, each in hundreds of folders of its own: a hundred bytes of an archive would be as many
// folders on disk.
func deep(n int) (out []entry) {
	for i := range n {
		out = append(out, entry{fmt.Sprintf("%d/", i) + strings.Repeat("a/", 480) + "x", "x", nil})
	}
	return out
}

// central gives the offset of the last record of the central directory (APPNOTE.TXT, 4.3.12).
func central(archive []byte) int { return bytes.LastIndex(archive, []byte("PK\x01\x02")) }

func altered(archive []byte, at int, value ...byte) []byte {
	out := bytes.Clone(archive)
	copy(out[central(out)+at:], value)
	return out
}

func flagged(archive []byte, flags byte) []byte { return altered(archive, 8, flags) }

func method(archive []byte, m byte) []byte { return altered(archive, 10, m) }

func sized(archive []byte, n uint32) []byte {
	return altered(archive, 24, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack(f, entry{"fn.js", "exports.handler = 1", nil}, entry{"a/b", "x", nil}))
	f.Add(flagged(pack(f, entry{"fn.js", "x", nil}), 1))
	f.Add(pack(f, entry{"fn.js", "module.exports = require('./a/b.js')", nil}, entry{"a/b.js", "b", func(h *zip.FileHeader) { h.SetMode(0o777 | os.ModeSymlink) }}))
	f.Add(pack(f, entry{formName, `{"Format":1,"Entry":"fn.js","Export":"handler","Form":"bundle","Config":{"Paths":["/a"]}}`, nil}, entry{"fn.js", "x", nil}))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "fn.zip")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, packed := range []bool{false, true} {
			o := output{name: "fn", files: tree{}}
			a := archive{file: file, shown: "fn.zip", dir: filepath.Join(dir, "out"), packed: packed, output: &o}
			if err := a.unpack(); err == nil && (o.files[o.entry].path == "" || o.files[formName].path != "") {
				t.Errorf("entry %q, files %q", o.entry, o.files.names())
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != "fn.zip" && e.Name() != "out" {
				t.Errorf("%s was written", e.Name())
			}
		}
	})
}
