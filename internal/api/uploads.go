package api

// Uploads are streamed: what is in them is checked by who takes them.

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/weir"
)

// octets is a body of bytes, for the document.
type octets struct{}

func (c *call) uploadFile() (any, error) {
	path := c.r.PathValue("path")
	if err := c.Deploys.UploadFile(c.r.Context(), c.author(), c.deploy.ID, path, c.upload()); err != nil {
		return nil, err
	}
	return wire.Uploaded{ID: "/" + path, Path: "/" + path}, nil
}

func (c *call) uploadFunction() (any, error) {
	q := c.r.URL.Query()
	u := FunctionUpload{Runtime: q.Get("runtime"), Mode: q.Get("invocation_mode")}
	if text := q.Get("timeout"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 || seconds > maxTimeout {
			return nil, &weir.Error{Code: weir.Invalid, Message: "timeout is a number of seconds up to " + strconv.Itoa(maxTimeout)}
		}
		u.Timeout = time.Duration(seconds) * time.Second // 0, as Netlify's Go client sends: the default
	}
	name := c.r.PathValue("name")
	if err := c.Deploys.UploadFunction(c.r.Context(), c.author(), c.deploy.ID, name, u, c.upload()); err != nil {
		return nil, err
	}
	return wire.Uploaded{ID: name, Path: name}, nil
}

// maxTimeout is the longest that a background function may run, in seconds.
const maxTimeout = 15 * 60

// upload is the request's body. One that ends early is the client's fault.
func (c *call) upload() io.Reader { return body{c.r.Body} }

type body struct{ io.Reader }

func (b body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &weir.Error{Code: weir.Invalid, Message: "the upload ended early", Remedy: "send it again", Err: err}
	}
	return n, err
}
