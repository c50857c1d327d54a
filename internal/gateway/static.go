package gateway

// The files of the publish folder, with Netlify's pretty URLs. os.Root keeps every path inside the
// folder, whatever links lie in it.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// static serves a folder; "" serves nothing.
type static struct{ dir string }

// private are files that belong to the site's configuration and are never served.
var private = []string{"_weir.toml", "weir.toml", "netlify.toml", "_headers", "_redirects", "node_modules"}

func (s static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "static files are read by GET and HEAD", "")
		return
	}
	if s.dir == "" {
		problem(w, http.StatusNotFound, "there is nothing here", "set publish in [build] of netlify.toml to serve static files")
		return
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		problem(w, http.StatusNotFound, "the publish folder can't be read", "build the site, or check publish in netlify.toml")
		return
	}
	defer root.Close()
	if !firstFile(w, r, root) && !served(w, r, root, "404.html", http.StatusNotFound) {
		problem(w, http.StatusNotFound, "no such page", "")
	}
}

// serves answers with a file if there is one for the request.
func (s static) serves(w http.ResponseWriter, r *http.Request) bool {
	if s.dir == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return false
	}
	defer root.Close()
	return firstFile(w, r, root)
}

// firstFile answers with the first file that the URL may mean, if there is one.
func firstFile(w http.ResponseWriter, r *http.Request, root *os.Root) bool {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	return slices.ContainsFunc(candidates(name), func(c string) bool { return served(w, r, root, c, http.StatusOK) })
}

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

// served answers with a file if there is one.
func served(w http.ResponseWriter, r *http.Request, root *os.Root, name string, status int) bool {
	if hidden(name) {
		return false
	}
	// Not to wait for the writer of a named pipe.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	tag, err := etag(f)
	if err != nil {
		return false
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=0, must-revalidate")
	h.Set("X-Content-Type-Options", "nosniff")
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		h.Set("Content-Type", t)
	} else {
		h.Set("Content-Type", "application/octet-stream")
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
		if r.Method == http.MethodGet {
			io.Copy(w, f)
		}
		return true
	}
	h.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, f)
	return true
}

// etag is a strong validator: a digest of the content.
func etag(f io.ReadSeeker) (string, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, f)
	_, err2 := f.Seek(0, io.SeekStart)
	return `"` + hex.EncodeToString(sum.Sum(nil)[:16]) + `"`, errors.Join(err, err2)
}
