// Package cache keeps copies of blobs as files on this machine's disk, within a bound: what is served often is fetched
// once. It must not know what the blobs are.
package cache

// Fetching, and making room.

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// DefaultSize bounds the copies, in bytes, unless said otherwise.
const DefaultSize = 4 << 30

// touchAfter is how old a file's time of last use may become before it is renewed.
const touchAfter = 10 * time.Minute

// Options say where copies are kept.
type Options struct {
	Dir    string // made if need be; nobody else writes there
	Blobs  store.Blobs
	Size   int64 // bytes; 0: DefaultSize
	Logger *slog.Logger
}

// Cache is safe for concurrent use.
type Cache struct {
	o Options

	mu       sync.Mutex
	size     int64               // of the files there
	fetching map[string]*fetched // by digest
}

// fetched is a fetch that is under way, or over.
type fetched struct {
	done chan struct{}
	err  error
}

// New opens the folder and forgets what an earlier process left unfinished.
func New(o Options) (*Cache, error) {
	o.Size = cmp.Or(o.Size, DefaultSize)
	c := &Cache{o: o, fetching: map[string]*fetched{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "files can't be kept in " + o.Dir, Err: err, Remedy: "name a state directory that this user may write to"}
	}
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !isDigest.MatchString(f.Name()) {
			os.Remove(filepath.Join(o.Dir, f.Name()))
			continue
		}
		c.size += f.Size()
	}
	return c, nil
}

var isDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Open gives the content of a blob as a file, which must be closed. It stays readable even if the copy is removed
// meanwhile. Errors: those of store.Blobs.Open, and weir.Unavailable if the disk is full.
func (c *Cache) Open(ctx context.Context, sha256 string) (*os.File, error) {
	if !isDigest.MatchString(sha256) {
		return nil, &weir.Error{Code: weir.NotFound, Message: "that is no SHA-256"}
	}
	for {
		f, err := os.Open(c.path(sha256))
		if err == nil {
			c.touch(f)
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := c.fetch(ctx, sha256); err != nil {
			return nil, err
		}
	}
}

func (c *Cache) path(sha256 string) string { return filepath.Join(c.o.Dir, sha256) }

// touch renews the time of last use, which is the time of modification: contents never change.
func (c *Cache) touch(f *os.File) {
	now := time.Now()
	if info, err := f.Stat(); err == nil && now.Sub(info.ModTime()) > touchAfter {
		os.Chtimes(f.Name(), now, now)
	}
}

// fetch makes the copy, or waits for whoever does.
func (c *Cache) fetch(ctx context.Context, sha256 string) error {
	c.mu.Lock()
	f, running := c.fetching[sha256]
	if _, err := os.Stat(c.path(sha256)); err == nil && !running { // somebody has, since the caller looked
		c.mu.Unlock()
		return nil
	}
	if !running {
		f = &fetched{done: make(chan struct{})}
		c.fetching[sha256] = f
		go func() { // not the caller's to give up: others may wait for it
			f.err = c.copy(context.WithoutCancel(ctx), sha256)
			c.mu.Lock()
			delete(c.fetching, sha256)
			c.mu.Unlock()
			close(f.done)
		}()
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Cache) copy(ctx context.Context, sha256 string) error {
	from, blob, err := c.o.Blobs.Open(ctx, sha256)
	if err != nil {
		return err
	}
	defer from.Close()
	tmp, err := os.CreateTemp(c.o.Dir, ".new-")
	if err != nil {
		return c.full(err)
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, from) // which checks the digest
	if err = errors.Join(err, tmp.Close()); err != nil {
		return c.full(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size += blob.Size; c.size > c.o.Size {
		c.makeRoom()
	}
	return os.Rename(tmp.Name(), c.path(sha256))
}

// full says what is to be done if an error is that the disk has no room.
func (c *Cache) full(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	c.o.Logger.Error("there is no room for copies of deployed files: make some, or lower --cache-size", "dir", c.o.Dir)
	return &weir.Error{Code: weir.Unavailable, Message: "the server's disk is full", Err: err, Remedy: "tell who runs the server"}
}

// makeRoom removes what was not used for the longest time, until a tenth is free. The caller holds c.mu.
func (c *Cache) makeRoom() {
	files, err := c.files()
	if err != nil {
		c.o.Logger.Warn("the copies of deployed files can't be looked through", "error", err)
		return
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if c.size <= c.o.Size/10*9 {
			return
		}
		if isDigest.MatchString(f.Name()) && os.Remove(c.path(f.Name())) == nil {
			c.size -= f.Size()
		}
	}
}

func (c *Cache) files() ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(c.o.Dir)
	if err != nil {
		return nil, err
	}
	var out []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			out = append(out, info)
		}
	}
	return out, nil
}
