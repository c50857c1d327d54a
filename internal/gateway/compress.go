package gateway

// Compression: of files once, of functions' answers as they come.

import (
	"bytes"
	"compress/gzip"
	"container/list"
	"io"
	"mime"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
)

const (
	minCompress     = 512     // bytes: less is not worth it
	maxCompress     = 8 << 20 // bytes of a file: more takes too long while a client waits
	fileLevel       = 6       // of brotli and gzip, for files
	answerLevel     = 2       // … and for answers of functions, which somebody waits for each time
	maxFlowing      = 64      // streams that are compressed at a time: each holds about 1 MB until it ends
	compressedBytes = 32 << 20
)

// compressible tells whether content of a type gets smaller by compression: not what is compressed already.
func compressible(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil || t == "text/event-stream" {
		return false
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") ||
		slices.Contains([]string{"application/json", "application/javascript", "application/xml", "application/wasm", "application/x-ndjson",
			"application/manifest+json", "application/vnd.ms-fontobject", "font/ttf", "font/otf", "image/svg+xml", "image/bmp", "image/x-icon",
			"image/vnd.microsoft.icon"}, t)
}

// acceptedEncoding gives the encoding to use of br and gzip: the one that a client likes best, the preferred one if it
// likes both as much, "" for none (RFC 9110, section 12.5.3).
func acceptedEncoding(h http.Header, preferred string) string {
	best, bestWeight := "", 0.0
	for item := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Accept-Encoding"), ",")), ",") {
		name, parameters, _ := strings.Cut(strings.TrimSpace(item), ";")
		name = strings.TrimSpace(name)
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
			weight, _ = strconv.ParseFloat(q, 64) // what is no number is no wish
		}
		if name != "br" && name != "gzip" || weight <= 0 || weight > 1 {
			continue
		}
		if weight > bestWeight || weight == bestWeight && name == preferred {
			best, bestWeight = name, weight
		}
	}
	return best
}

var (
	brotliWriters = sync.Pool{New: func() any { return brotli.NewWriterLevel(io.Discard, answerLevel) }}
	gzipWriters   = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(io.Discard, answerLevel); return w }}
)

// encoder compresses what is written to it.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encoders gives where encoders of an encoding wait.
func encoders(encoding string) *sync.Pool {
	if encoding == "gzip" {
		return &gzipWriters
	}
	return &brotliWriters
}

// compressAnswer compresses an answer of a function.
func compressAnswer(body []byte, encoding string) []byte {
	var out bytes.Buffer
	w := encoders(encoding).Get().(encoder)
	defer encoders(encoding).Put(w)
	w.Reset(&out)
	w.Write(body) // to memory
	w.Close()
	return out.Bytes()
}

// encodingOf gives the encoding for a function's answer, if the client takes one, it is worth while and the function has
// not done it; "" for none. It tells caches that it depends on the client.
func encodingOf(r *http.Request, status int, h http.Header) string {
	if status == http.StatusPartialContent || h.Get("Content-Encoding") != "" || h.Get("Content-Range") != "" ||
		!compressible(h.Get("Content-Type")) || strings.Contains(strings.ToLower(h.Get("Cache-Control")), "no-transform") {
		return ""
	}
	h.Add("Vary", "Accept-Encoding")
	return acceptedEncoding(r.Header, "gzip") // fast brotli is slower and no better
}

// encoded says in the headers of an answer that it is compressed.
func encoded(h http.Header, encoding string) {
	h.Set("Content-Encoding", encoding)
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h.Set("ETag", "W/"+tag) // these are other bytes (RFC 9110, section 8.8.1)
	}
}

// encodeAnswer compresses a function's answer where that is of use. It sets the headers that say so.
func encodeAnswer(r *http.Request, status int, h http.Header, body []byte) []byte {
	if len(body) < minCompress {
		return body
	}
	encoding := encodingOf(r, status, h)
	if encoding == "" {
		return body
	}
	small := compressAnswer(body, encoding)
	if len(small) >= len(body) {
		return body
	}
	encoded(h, encoding)
	return small
}

// Compressed keeps compressed files in memory. What was not used for longest makes room. It may serve several sites,
// as equal files are known by their digests.
type Compressed struct {
	max     int64
	now     chan struct{} // holds one for each file that is being compressed
	flowing chan struct{} // … and for each stream

	mu   sync.Mutex
	size int64
	used list.List // of *compressedFile, the last used in front
	by   map[compressedKey]*list.Element
}

type compressedKey struct{ digest, encoding string }

type compressedFile struct {
	key  compressedKey
	data []byte // nil: it doesn't get smaller
}

// NewCompressed makes room for some bytes of compressed files.
func NewCompressed(bytes int64) *Compressed {
	// Files are compressed by few processors at a time, and those beyond are sent as they are: clients who ask for more
	// different ones than there is room for have each of them compressed again.
	few := max(1, runtime.GOMAXPROCS(0)/4)
	return &Compressed{max: bytes, now: make(chan struct{}, few), flowing: make(chan struct{}, maxFlowing), by: map[compressedKey]*list.Element{}}
}

// flow gives what writes the pieces of a function's answer to w, each so that it can be sent: compressed where that is of
// use and there is room for one more, and then the headers say so. release must be called in the end.
func (c *Compressed) flow(w io.Writer, r *http.Request, status int, h http.Header) (out io.WriteCloser, release func()) {
	encoding := encodingOf(r, status, h)
	if encoding == "" || !hasBody(status) {
		return asItIs{w}, func() {}
	}
	select {
	case c.flowing <- struct{}{}:
	default:
		return asItIs{w}, func() {}
	}
	encoded(h, encoding)
	e := encoders(encoding).Get().(encoder)
	e.Reset(w)
	return piecewise{e}, func() {
		e.Reset(io.Discard)
		encoders(encoding).Put(e)
		<-c.flowing
	}
}

// piecewise compresses each piece to its end, so that nobody waits for it until the next comes.
type piecewise struct{ encoder }

// Write is io.Writer's.
func (p piecewise) Write(piece []byte) (int, error) {
	n, err := p.encoder.Write(piece)
	if err == nil {
		err = p.Flush()
	}
	return n, err
}

// asItIs compresses nothing.
type asItIs struct{ io.Writer }

// Close is io.Closer's.
func (asItIs) Close() error { return nil }

// of gives a file compressed; nil to send it as it is, and then its position is where it was.
func (c *Compressed) of(f *File, encoding string) []byte {
	if f.Size > maxCompress {
		return nil
	}
	key := compressedKey{f.Digest, encoding}
	if data, known := c.get(key); known {
		return data
	}
	select {
	case c.now <- struct{}{}:
		defer func() { <-c.now }()
	default:
		return nil
	}
	var out bytes.Buffer
	var w io.WriteCloser = brotli.NewWriterLevel(&out, fileLevel)
	if encoding == "gzip" {
		w, _ = gzip.NewWriterLevel(&out, fileLevel)
	}
	n, err := io.Copy(w, io.LimitReader(f, maxCompress+1))
	w.Close()
	if _, seek := f.Seek(0, io.SeekStart); seek != nil || err != nil || n != f.Size {
		return nil
	}
	data := out.Bytes()
	if len(data) >= int(f.Size) {
		data = nil
	}
	c.put(key, data)
	return data
}

func (c *Compressed) get(key compressedKey) (data []byte, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.by[key]
	if !ok {
		return nil, false
	}
	c.used.MoveToFront(e)
	return e.Value.(*compressedFile).data, true
}

// entryCost is what an entry takes besides its data, in bytes, roughly.
const entryCost = 512

func (c *Compressed) put(key compressedKey, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[key] != nil {
		return // somebody else was faster
	}
	c.by[key] = c.used.PushFront(&compressedFile{key, slices.Clone(data)})
	c.size += int64(len(data)) + entryCost
	for c.size > c.max && c.used.Len() > 0 {
		last := c.used.Remove(c.used.Back()).(*compressedFile)
		delete(c.by, last.key)
		c.size -= int64(len(last.data)) + entryCost
	}
}
