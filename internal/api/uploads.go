package api

// Uploads are streamed: what is in them is checked by who takes them.

import (
	"errors"
	"io"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// octets is a body of bytes, for the document.
type octets struct{}

// Of uploads, each of which has about 1 MB in memory for as long as it lasts, so many are taken at a time,
const (
	maxUploads  = 1024
	uploadsEach = 32 // and of one token
)

// upload takes an upload when it is its turn.
func (c *call) upload(take func() error) error {
	if !c.uploads.wait(c.r.Context(), c.who.ID) {
		return c.r.Context().Err()
	}
	defer c.uploads.end(c.who.ID)
	err := take()
	if weir.ErrorCode(err) == weir.Invalid || weir.ErrorCode(err) == weir.TooLarge {
		// Most clients read no answer before they have sent all, and lose it if the connection is closed on them.
		_, _ = io.CopyN(io.Discard, c.body(), maxRefused)
	}
	return final(err)
}

// maxRefused is how many bytes are read of an upload that was refused, so that its client hears why.
const maxRefused = 64 << 20

func (c *call) uploadFile() (any, error) {
	path := c.r.PathValue("path")
	err := c.upload(func() error {
		return c.Deploys.UploadFile(c.r.Context(), c.author(), c.deploy.ID, path, c.body())
	})
	if err != nil {
		return nil, err
	}
	return wire.Uploaded{ID: "/" + path, Path: "/" + path}, nil
}

// uploadFunction takes no timeout from the client, unlike Netlify: how long a function may run is for its policy.
func (c *call) uploadFunction() (any, error) {
	q := c.r.URL.Query()
	name := c.r.PathValue("name")
	u := deploys.FunctionUpload{Runtime: q.Get("runtime"), Background: q.Get("invocation_mode") == "background"}
	err := c.upload(func() error {
		return c.Deploys.UploadFunction(c.r.Context(), c.author(), c.deploy.ID, name, u, c.body())
	})
	if err != nil {
		return nil, err
	}
	return wire.Uploaded{ID: name, Path: name}, nil
}

// final makes of an error that no repetition mends one that netlify-cli doesn't repeat an upload after: it does so for
// a minute after any but 400 and 422.
func final(err error) error {
	var e *weir.Error
	if errors.As(err, &e) && (e.Code == weir.TooLarge || e.Code == weir.NotFound || e.Code == weir.Conflict) {
		return &weir.Error{Code: weir.Invalid, Message: e.Message, Remedy: e.Remedy, Err: err}
	}
	return err
}
