package server

// The static files of a deploy: its manifest says which there are, and copies of them lie on this machine's disk.

import (
	"context"
	"io/fs"
	"time"

	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/store/cache"
	"github.com/weir-run/weir/internal/weir"
)

// fetchTime is how long a file may take to come from the store.
const fetchTime = time.Minute

// deployed implements gateway.Files.
type deployed struct {
	files map[string]weir.DeployFile
	cache *cache.Cache
}

// Open gives the file of a path.
func (d deployed) Open(name string) (*gateway.File, error) {
	f, ok := d.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	content, err := d.cache.Open(ctx, f.SHA256)
	if err != nil {
		return nil, err
	}
	return &gateway.File{ReadSeekCloser: content, Size: f.Size, Digest: f.SHA256[:32]}, nil
}
