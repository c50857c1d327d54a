package served

// Deploys, as Netlify's clients make them.

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
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

// Content is what a deploy consists of.
type Content struct {
	Files, Functions map[string]Source // by name; functions are archives
	Schedules        []wire.FunctionSchedule
}

// Part is a file or an archive, and the digest by which a server asks for it.
type Part struct {
	client.Upload
	Digest string
}

// Parts gives all that a deploy consists of.
func (c Content) Parts() (out []Part, err error) {
	add := func(u client.Upload, from Source, h hash.Hash) {
		sum, size, bad := digest(from, h)
		u.Size, u.Open, err = size, from, errors.Join(err, bad)
		out = append(out, Part{u, sum})
	}
	for name, from := range c.Files {
		add(client.Upload{Path: name}, from, sha1.New())
	}
	for name, from := range c.Functions {
		add(client.Upload{Function: name, Runtime: "js"}, from, sha256.New())
	}
	return out, err
}

// Declaration is what a client says of it.
func (c Content) Declaration(parts []Part) wire.Declaration {
	decl := wire.Declaration{Files: map[string]string{}, Functions: map[string]string{}, FunctionSchedules: c.Schedules, Async: len(c.Files) > 100}
	for _, p := range parts {
		if p.Function != "" {
			decl.Functions[p.Function] = p.Digest
		} else {
			decl.Files[p.Path] = p.Digest
		}
	}
	return decl
}

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
	parts, err := c.Parts()
	if err != nil {
		return d, err
	}
	if d, err = s.Declare(ctx, site, d.ID, c.Declaration(parts)); err != nil {
		return d, err
	}
	if d, err = s.await(ctx, d, func(state string) bool { return state != "preparing" }); err != nil {
		return d, err
	}
	var send []client.Upload
	for _, p := range parts {
		if slices.Contains(d.Required, p.Digest) || slices.Contains(d.RequiredFunctions, p.Digest) {
			send = append(send, p.Upload)
		}
	}
	if err := s.Upload(ctx, d.ID, send, nil); err != nil {
		return d, err
	}
	return s.Whole(ctx, d)
}

// Whole waits until a deploy is ready of which all was uploaded.
func (s *Server) Whole(ctx context.Context, d wire.Deploy) (wire.Deploy, error) {
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
