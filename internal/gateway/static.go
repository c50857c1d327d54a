package gateway

// Static files over HTTP, with Netlify's pretty URLs.

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/routing"
)

// private are files that belong to the site's configuration and are never served.
var private = []string{"_weir.toml", "weir.toml", "netlify.toml", "_headers", "_redirects", "node_modules"}

// maxRanges is how many parts of a file are given at a time: many small ones cost much and are no use. A request for
// more gets all of it (RFC 9110, section 14.2).
const maxRanges = 8

// file answers with the file that a percent-encoded path leads to; false if there is none, and then nothing has
// been written. Only GET and HEAD find files.
func (g *gateway) file(w http.ResponseWriter, r *http.Request, escaped string, status int) bool {
	if g.Files == nil || !reads(r) || !routing.Plain(escaped) {
		return false
	}
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return false
	}
	for _, c := range candidates(strings.Trim(name, "/")) {
		if hidden(c) {
			continue
		}
		f, err := g.Files.Open(c)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			g.Logger.Error("a file can't be read", "file", printable(c), "error", err)
			w.Header().Set("Retry-After", retryAfter)
			problem(w, http.StatusServiceUnavailable, "the file can't be read now", "try again later")
			return true
		}
		g.send(w, r, f, c, status)
		f.Close()
		return true
	}
	return false
}

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// candidates are the files that a URL may mean, the best first.
func candidates(name string) []string {
	if name == "" {
		return []string{"index.html"}
	}
	return []string{name, name + ".html", path.Join(name, "index.html")}
}

// hidden tells whether a path must not be served: configuration and hidden files, but for
// .well-known (RFC 8615).
func hidden(name string) bool {
	for i, part := range strings.Split(name, "/") {
		if slices.Contains(private, part) || strings.HasPrefix(part, ".") && !(i == 0 && part == ".well-known") {
			return true
		}
	}
	return strings.ContainsAny(name, "\\\x00")
}

// notFound answers that nothing is there, with the site's own page if it has one.
func (g *gateway) notFound(w http.ResponseWriter, r *http.Request) {
	switch {
	case !reads(r):
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "static files are read by GET and HEAD", "")
	case g.file(w, r, "/404.html", http.StatusNotFound):
	case g.Files == nil:
		problem(w, http.StatusNotFound, "there is nothing here", "set publish in [build] of netlify.toml to serve static files")
	default:
		problem(w, http.StatusNotFound, "no such page", "")
	}
}

// send answers with a file, compressed if the client takes that and it is worth while.
func (g *gateway) send(w http.ResponseWriter, r *http.Request, f *File, name string, status int) {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=0, must-revalidate")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", typeOf(name))
	for _, rule := range g.Rules.HeadersFor(r.URL.EscapedPath()) {
		h.Set(rule.Name, rule.Value)
	}
	var content io.ReadSeeker = f
	size, tag := f.Size, f.Digest
	if compressible(h.Get("Content-Type")) && f.Size >= minCompress {
		h.Add("Vary", "Accept-Encoding")
		encoding := acceptedEncoding(r.Header, "br")
		if encoding != "" && r.Header.Get("Range") == "" {
			if small := g.Compressed.of(f, encoding); small != nil {
				h.Set("Content-Encoding", encoding)
				content, size, tag = bytes.NewReader(small), int64(len(small)), tag+"-"+encoding
			}
		}
	}
	paced := g.pacedAnswer(w)
	defer paced.end()
	if status != http.StatusOK {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
		w.WriteHeader(status)
		if r.Method == http.MethodGet {
			io.Copy(paced, content)
		}
		return
	}
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	h.Set("ETag", `"`+tag+`"`)
	if h.Get("Content-Encoding") != "" && r.Header.Get("If-Match") == "" { // net/http does it for all others
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	http.ServeContent(paced, r, "", time.Time{}, content)
}

// types are those of files that the standard library doesn't know: what the machine says of them must not matter.
var types = map[string]string{
	".csv": "text/csv; charset=utf-8", ".eot": "application/vnd.ms-fontobject", ".gz": "application/gzip", ".ico": "image/x-icon",
	".map": "application/json", ".md": "text/markdown; charset=utf-8", ".mp3": "audio/mpeg", ".mp4": "video/mp4", ".ogg": "audio/ogg",
	".otf": "font/otf", ".rss": "application/rss+xml", ".tar": "application/x-tar", ".ttf": "font/ttf", ".txt": "text/plain; charset=utf-8",
	".wav": "audio/wav", ".webm": "video/webm", ".webmanifest": "application/manifest+json", ".woff": "font/woff", ".woff2": "font/woff2",
	".yaml": "application/yaml", ".yml": "application/yaml", ".zip": "application/zip",
}

func typeOf(name string) string {
	ext := strings.ToLower(path.Ext(name))
	return cmp.Or(types[ext], mime.TypeByExtension(ext), "application/octet-stream")
}
