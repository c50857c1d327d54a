package cli

// What weir deploy uploads: the files of the publish folder, the site's two configuration files, and an archive of
// each function.

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/server"
	"github.com/weir-run/weir/internal/weir"
)

// content is what is deployed. It must be closed.
type content struct {
	declaration wire.Declaration
	uploads     map[string]client.Upload // by digest
	root        *os.Root                 // of the publish folder; nil for none
	built       *server.Built
}

// Names that configuration files have among the files of a deploy. Neither is served.
const (
	configName = "netlify.toml"
	policyName = "_weir.toml"
)

// manyFiles is how many files the server looks for without keeping the caller waiting.
const manyFiles = 100

// collect gives what a site that was built is made of, which is closed with it.
func collect(ctx context.Context, b *server.Built) (_ *content, err error) {
	c := &content{declaration: wire.Declaration{Files: map[string]string{}, Functions: map[string]string{}}, uploads: map[string]client.Upload{}, built: b}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if b.Uploads.Publish != "" {
		if c.root, err = os.OpenRoot(b.Uploads.Publish); err != nil {
			return nil, err
		}
		if err := c.addFiles(ctx); err != nil {
			return nil, err
		}
	}
	for name, file := range map[string]string{configName: configName, policyName: sitepolicy.FileName} {
		err := c.add(name, func() (io.ReadCloser, error) { return os.Open(filepath.Join(b.Site.Dir, file)) })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for i := range b.Uploads.Functions {
		if err := c.addFunction(ctx, &b.Uploads.Functions[i]); err != nil {
			return nil, err
		}
	}
	c.declaration.Async = len(c.declaration.Files) > manyFiles
	if len(c.declaration.Files)+len(c.declaration.Functions) == 0 {
		return nil, &weir.Error{Code: weir.Invalid, Message: "there is nothing to deploy: neither files nor functions", Remedy: "set publish under [build] in netlify.toml, or name the folder of the site"}
	}
	return c, nil
}

func (c *content) close() {
	if c.root != nil {
		c.root.Close()
	}
	c.built.Close()
}

// addFiles adds the files of the publish folder, but for hidden ones. A link may lead to a file within it.
func (c *content) addFiles(ctx context.Context) error {
	return fs.WalkDir(c.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if hidden(e.Name()) && name != "." {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() || name == configName || name == sitepolicy.FileName {
			return nil
		}
		if err := c.add(name, func() (io.ReadCloser, error) { return c.open(name) }); err != nil {
			return &weir.Error{Code: weir.Invalid, Message: "the file " + weir.Printable(name) + " of the publish folder can't be deployed", Err: err, Remedy: "make it a file that can be read"}
		}
		return nil
	})
}

// open opens a regular file of the publish folder.
func (c *content) open(name string) (io.ReadCloser, error) {
	f, err := c.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a fifo would keep it waiting
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file, nor a link to one")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// hidden tells of the files that netlify deploy leaves out, too.
func hidden(name string) bool {
	return name == "node_modules" || strings.HasPrefix(name, "__MACOSX") || strings.HasPrefix(name, ".") && name != ".well-known"
}

func (c *content) add(name string, open func() (io.ReadCloser, error)) error {
	sum, size, err := digest(open, sha1.New())
	if err != nil {
		return err
	}
	c.declaration.Files[name] = sum
	c.uploads[sum] = client.Upload{Path: name, Size: size, Open: open}
	return nil
}

func digest(open func() (io.ReadCloser, error), h hash.Hash) (sum string, size int64, err error) {
	f, err := open()
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// addFunction adds the archive of a function. It is made anew whenever it is read, so that it takes no room.
func (c *content) addFunction(ctx context.Context, f *build.Upload) error {
	open := func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(f.Archive(ctx, w)) }() // to who reads
		return r, nil
	}
	sum, size, err := digest(open, sha256.New())
	if err != nil {
		return err
	}
	u := client.Upload{Function: f.Name, Runtime: build.PackedRuntime, Size: size, Open: open}
	if f.Config.Background {
		u.Mode = "background"
	}
	c.declaration.Functions[f.Name] = sum
	c.uploads[sum] = u
	return nil
}

// missing gives the uploads that a deploy still needs, the largest first, so that none is left alone at the end.
func (c *content) missing(d wire.Deploy) []client.Upload {
	var out []client.Upload
	for _, sum := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(d.Required, d.RequiredFunctions)))) {
		if u, ok := c.uploads[sum]; ok {
			out = append(out, u)
		}
	}
	slices.SortStableFunc(out, func(a, b client.Upload) int { return int(min(max(b.Size-a.Size, -1), 1)) })
	return out
}
