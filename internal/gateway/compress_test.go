package gateway

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
)

// decoded gives a body as a client reads it.
func decoded(t *testing.T, encoding string, body []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(body)
	var err error
	switch encoding {
	case "br":
		r = brotli.NewReader(r)
	case "gzip":
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFilesAreCompressed(t *testing.T) {
	long := strings.Repeat("all work and no play ", 500)
	site := func(o *Options) {
		o.Files = shelf{"a.html": long, "a.css": long, "a.png": long, "short.css": "short", "404.html": long, "noise.css": noise(2000)}
	}
	for name, c := range map[string]struct {
		path, accept string
		status       int
		encoding     string
		vary         bool
		more         string
	}{
		"brotli before gzip": {"/a", "gzip, deflate, br", 200, "br", true, ""},
		"gzip":               {"/a.css", "gzip", 200, "gzip", true, ""},
		"what it likes":      {"/a.css", "br;q=0.1, gzip;q=0.9", 200, "gzip", true, ""},
		"none":               {"/a.css", "", 200, "", true, ""},
		"not that":           {"/a.css", "br;q=0, gzip;q=0.0", 200, "", true, ""},
		"nonsense":           {"/a.css", "br;q=x, zstd, *", 200, "", true, ""},
		"an image":           {"/a.png", "br", 200, "", false, ""},
		"a short one":        {"/short.css", "br", 200, "", false, ""},
		"one like noise":     {"/noise.css", "br", 200, "", true, ""},
		"the page of a 404":  {"/none", "br", 404, "br", true, ""},
		"a part":             {"/a.css", "br", 206, "", true, "Range: bytes=0-9"},
	} {
		headers := []string{"Accept-Encoding: " + c.accept}
		if c.more != "" {
			headers = append(headers, c.more)
		}
		w := answerTo(request("GET", c.path, "", headers...), site)
		h := w.Header()
		if w.Code != c.status || h.Get("Content-Encoding") != c.encoding || (h.Get("Vary") == "Accept-Encoding") != c.vary ||
			h.Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
			t.Errorf("%s: %d %d bytes %v", name, w.Code, w.Body.Len(), h)
		}
		if c.status == 200 && strings.HasPrefix(c.path, "/a") && decoded(t, c.encoding, w.Body.Bytes()) != long {
			t.Errorf("%s: another content", name)
		}
	}
	plain, small := answerTo(request("GET", "/a", ""), site), answerTo(request("GET", "/a", "", "Accept-Encoding: br"), site)
	tag := small.Header().Get("ETag")
	if tag == plain.Header().Get("ETag") {
		t.Error("two contents have one tag")
	}
	if w := answerTo(request("GET", "/a", "", "Accept-Encoding: br", `If-Match: "other"`), site); w.Code != 412 || w.Header().Get("Content-Length") != "" {
		t.Errorf("only another one: %d %v", w.Code, w.Header())
	}
	for _, method := range []string{"GET", "HEAD"} {
		if w := answerTo(request(method, "/a", "", "Accept-Encoding: br", "If-None-Match: "+tag), site); w.Code != 304 || w.Body.Len() > 0 {
			t.Errorf("%s again: %d", method, w.Code)
		}
	}
}

// noise gives text that nothing makes smaller.
func noise(n int) string {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return string(b)
}

func TestManyRangesAreOneAnswer(t *testing.T) {
	site := func(o *Options) { o.Files = shelf{"a.bin": strings.Repeat("x", 10_000)} }
	w := answerTo(request("GET", "/a.bin", "", "Range: bytes=0-0"+strings.Repeat(",2-2", 500)), site)
	if w.Code != 200 || w.Body.Len() != 10_000 {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
	if w := answerTo(request("GET", "/a.bin", "", "Range: bytes=0-0,5-6"), site); w.Code != 206 {
		t.Errorf("two: %d", w.Code)
	}
}

// TestCompressedFilesAreBounded: what was used last stays, and no more than there is room for.
func TestCompressedFilesAreBounded(t *testing.T) {
	c := NewCompressed(8 << 10)
	for i := range 100 {
		f, err := shelf{"a": fmt.Sprint(i, strings.Repeat(" and so on", 200))}.Open("a")
		if err != nil {
			t.Fatal(err)
		}
		f.Digest = fmt.Sprint(i)
		if got := c.of(f, "gzip"); len(got) == 0 {
			t.Fatalf("file %d is not compressed", i)
		}
	}
	if _, known := c.get(compressedKey{"99", "gzip"}); !known || c.size > c.max || c.used.Len() != len(c.by) || len(c.by) > 16 {
		t.Errorf("%d bytes, %d files, the last known: %v", c.size, len(c.by), known)
	}
}

func TestAnswersOfFunctionsAreCompressed(t *testing.T) {
	long := strings.Repeat("all work and no play ", 500)
	for name, c := range map[string]struct {
		accept, headers, body string
		encoding, tag         string
	}{
		"text":             {"br", `{"content-type":"text/plain","etag":"\"x\""}`, long, "br", `W/"x"`},
		"JSON, gzip":       {"br, gzip", `{"content-type":"application/json"}`, long, "gzip", ""},
		"no type":          {"br", `{}`, long, "", ""},
		"not asked for":    {"", `{"content-type":"text/plain","etag":"\"x\""}`, long, "", `"x"`},
		"short":            {"br", `{"content-type":"text/plain"}`, "short", "", ""},
		"an image":         {"br", `{"content-type":"image/png"}`, long, "", ""},
		"its own":          {"br", `{"content-type":"text/plain","content-encoding":"identity"}`, long, "identity", ""},
		"not to transform": {"br", `{"content-type":"text/plain","cache-control":"no-transform"}`, long, "", ""},
	} {
		body, _ := json.Marshal(c.body)
		f := giving(fmt.Sprintf(`{"statusCode":200,"headers":%s,"body":%s}`, c.headers, body))
		res := ask(f, request("GET", "/.netlify/functions/fn", "", "Accept-Encoding: "+c.accept))
		got := []byte(text(t, res))
		if res.Header.Get("Content-Encoding") != c.encoding || res.Header.Get("ETag") != c.tag || res.Header.Get("Content-Length") != fmt.Sprint(len(got)) ||
			decoded(t, c.encoding, got) != c.body {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
}

// FuzzAcceptEncoding: whatever a client says, it gets what it may have asked for.
func FuzzAcceptEncoding(f *testing.F) {
	f.Add("gzip;q=0.5, br;q=1.0, *;q=0")
	f.Fuzz(func(t *testing.T, accept string) {
		if got := acceptedEncoding(http.Header{"Accept-Encoding": {accept}}, "br"); got != "" && !strings.Contains(strings.ToLower(accept), got) {
			t.Errorf("%q gives %s", accept, got)
		}
	})
}

// TestCompressionLeavesProcessorsAlone: however many files are asked for at a time, most processors do something else.
func TestCompressionLeavesProcessorsAlone(t *testing.T) {
	c := NewCompressed(1 << 20)
	begun, end := make(chan struct{}), make(chan struct{})
	slow := readerFunc(func([]byte) (int, error) { begun <- struct{}{}; <-end; return 0, io.ErrUnexpectedEOF })
	file := func(r io.Reader, name string) *File {
		return &File{struct {
			io.ReadSeeker
			io.Closer
		}{struct {
			io.Reader
			io.Seeker
		}{r, strings.NewReader("")}, io.NopCloser(nil)}, 1 << 10, name}
	}
	var all sync.WaitGroup
	for i := range max(1, runtime.GOMAXPROCS(0)/4) {
		all.Go(func() { c.of(file(slow, fmt.Sprint(i)), "br") })
		<-begun
	}
	if c.of(file(readerFunc(func([]byte) (int, error) { t.Error("one more is compressed"); return 0, io.EOF }), "more"), "br") != nil {
		t.Error("one more is compressed")
	}
	close(end)
	all.Wait()
}
