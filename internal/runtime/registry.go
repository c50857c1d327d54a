package runtime

// The npm registry, as far as it is the place that managed Nodes come from. It need not be trusted:
// the digest is.

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	maxTarball = 128 << 20 // bytes
	// stallTime is how long a registry may send nothing before it is given up.
	stallTime = 30 * time.Second
	// defaultRegistry is npm's own.
	defaultRegistry = "https://registry.npmjs.org"
)

// npmRegistry gives the base URL of the registry that npm would use, without a slash at the end.
func npmRegistry() string {
	for _, name := range []string{"NPM_CONFIG_REGISTRY", "npm_config_registry"} {
		if v := os.Getenv(name); v != "" {
			return strings.TrimRight(v, "/")
		}
	}
	files := []string{"/etc/npmrc"}
	if home, err := os.UserHomeDir(); err == nil {
		files = append([]string{filepath.Join(home, ".npmrc")}, files...)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "registry" {
				return strings.TrimRight(strings.TrimSpace(value), "/")
			}
		}
	}
	return defaultRegistry
}

// download gives the tarball of a release, its digest verified.
func download(ctx context.Context, registry string, r release, progress io.Writer) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	url := fmt.Sprintf("%s/%s/-/%s-%s.tgz", registry, r.name, r.name, r.version)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	stalled := time.AfterFunc(stallTime, func() { cancel(fmt.Errorf("the registry sent nothing for %s", stallTime)) })
	defer stalled.Stop()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, cause(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the registry answered %s", res.Status)
	}
	m := newMeter(progress, fmt.Sprintf("fetching Node.js %s (%s)", r.version, r.name), res.ContentLength)
	var b bytes.Buffer
	_, err = io.Copy(&b, io.TeeReader(io.LimitReader(res.Body, maxTarball+1), watcher{m, stalled}))
	m.end()
	switch {
	case err != nil:
		return nil, cause(ctx, err)
	case b.Len() > maxTarball:
		return nil, errors.New("the package is too large")
	}
	if sum := sha512.Sum512(b.Bytes()); base64.StdEncoding.EncodeToString(sum[:]) != r.sha512 {
		return nil, fmt.Errorf("%s@%s is not what it was when this version of Weir was made: its digest differs", r.name, r.version)
	}
	return b.Bytes(), nil
}

// cause gives what ended a context in place of the error that came of it.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// watcher is told of every piece that arrives.
type watcher struct {
	meter   *meter
	stalled *time.Timer
}

func (w watcher) Write(p []byte) (int, error) {
	w.stalled.Reset(stallTime)
	w.meter.add(len(p))
	return len(p), nil
}

// meter tells how far a long work is: in one line, which on a terminal is written again and again.
type meter struct {
	w           io.Writer // nil: nobody is told
	what        string
	total, done int64
	percent     int64
	terminal    bool
}

func newMeter(w io.Writer, what string, total int64) *meter {
	m := &meter{w: w, what: what, total: total}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		m.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0 && total > 0
	}
	switch {
	case w == nil:
	case m.terminal:
		fmt.Fprintf(w, "%s   0 %%", what)
	case total > 0:
		fmt.Fprintf(w, "%s, %d MB\n", what, total>>20)
	default:
		fmt.Fprintln(w, what)
	}
	return m
}

func (m *meter) add(n int) {
	m.done += int64(n)
	if !m.terminal {
		return
	}
	if p := m.done * 100 / m.total; p != m.percent {
		m.percent = p
		fmt.Fprintf(m.w, "\r%s %3d %%", m.what, p)
	}
}

func (m *meter) end() {
	if m.terminal {
		fmt.Fprintln(m.w)
	}
}

// install writes the binary of a tarball to path.
func (r release) install(tarball []byte, path string) error {
	z, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return errors.New("the package holds no bin/node")
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || h.Name != "package/bin/node" {
			continue
		}
		if h.Size != r.size {
			return fmt.Errorf("the binary has %d bytes instead of %d", h.Size, r.size)
		}
		return writeBinary(t, path)
	}
}
