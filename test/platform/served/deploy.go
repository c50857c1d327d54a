package served

// Deploys, as Netlify's clients make them.

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
)

// Source gives something from its beginning.
type Source func() (io.ReadCloser, error)

// Bytes is a source of bytes.
func Bytes(b []byte) Source {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// Content is what a deploy consists of: files, and archives of functions, by name.
type Content struct{ Files, Functions map[string]Source }

// Archive makes the archive of a function of one file.
func Archive(name, source string) Source {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name + ".js")
	if err == nil {
		_, err = io.WriteString(w, source)
	}
	if err != nil || z.Close() != nil {
		panic(err)
	}
	return Bytes(b.Bytes())
}

// Deploy deploys content to a site and waits until it is ready.
func (s *Server) Deploy(ctx context.Context, site string, c Content) (wire.Deploy, error) {
	d, err := s.BeginDeploy(ctx, site, wire.NewDeploy{})
	if err != nil {
		return d, err
	}
	decl := wire.Declaration{Files: map[string]string{}, Functions: map[string]string{}, Async: len(c.Files) > 100}
	uploads := map[string]client.Upload{}
	for name, from := range c.Files {
		sum, size, err := digest(from, sha1.New())
		if err != nil {
			return d, err
		}
		decl.Files[name] = sum
		uploads[sum] = client.Upload{Path: name, Size: size, Open: from}
	}
	for name, from := range c.Functions {
		sum, size, err := digest(from, sha256.New())
		if err != nil {
			return d, err
		}
		decl.Functions[name] = sum
		uploads[sum] = client.Upload{Function: name, Runtime: "js", Size: size, Open: from}
	}
	if d, err = s.Declare(ctx, site, d.ID, decl); err != nil {
		return d, err
	}
	if d, err = s.await(ctx, d, func(state string) bool { return state != "preparing" }); err != nil {
		return d, err
	}
	var send []client.Upload
	for _, sum := range append(d.Required, d.RequiredFunctions...) {
		send = append(send, uploads[sum])
	}
	if err := s.Upload(ctx, d.ID, send, nil); err != nil {
		return d, err
	}
	return s.await(ctx, d, func(state string) bool { return state == "ready" })
}

func digest(from Source, h hash.Hash) (sum string, size int64, err error) {
	r, err := from()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	size, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// await polls until a deploy's state is as it should be, as clients do. A deploy that fails is an error.
func (s *Server) await(ctx context.Context, d wire.Deploy, is func(state string) bool) (wire.Deploy, error) {
	for !is(d.State) {
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		var err error
		if d, err = s.Client.Deploy(ctx, d.ID); err != nil {
			return d, err
		}
		if d.State == "error" {
			return d, fmt.Errorf("deploy %s: %s", d.ID, d.ErrorMessage)
		}
	}
	return d, nil
}
