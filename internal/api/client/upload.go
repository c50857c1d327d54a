package client

// Uploads: several at a time, each streamed, each tried again from its beginning.

import (
	"context"
	"io"
	"net/url"
	"strings"
	"sync"

	"github.com/weir-run/weir/internal/weir"
)

// uploads is how many files go up at a time.
const uploads = 5

// Upload is a file or the archive of a function.
type Upload struct {
	Path     string // of a file
	Function string // or name of a function
	Runtime  string // of a function
	Mode     string // of a function: "", "stream", "background"
	Size     int64
	Open     func() (io.ReadCloser, error)
}

func (u *Upload) at(deploy string) string {
	if u.Function == "" {
		segments := strings.Split(u.Path, "/")
		for i, s := range segments {
			segments[i] = url.PathEscape(s)
		}
		return path("/deploys/", deploy, "/files/") + strings.Join(segments, "/")
	}
	q := url.Values{"runtime": {u.Runtime}}
	if u.Mode != "" {
		q.Set("invocation_mode", u.Mode)
	}
	return path("/deploys/", deploy, "/functions/", u.Function) + "?" + q.Encode()
}

// Upload sends what a deploy lacks. sent, unless nil, is told how many more bytes went out; it is negative for what
// is sent again, and called from several goroutines. The first error ends all.
func (c *Client) Upload(ctx context.Context, deploy string, all []Upload, sent func(int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if sent == nil {
		sent = func(int64) {}
	}
	todo := make(chan Upload)
	var workers sync.WaitGroup
	for range min(uploads, len(all)) {
		workers.Go(func() {
			for u := range todo {
				if err := c.upload(ctx, deploy, u, sent); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, u := range all {
		select {
		case todo <- u:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(todo)
	workers.Wait()
	return context.Cause(ctx)
}

func (c *Client) upload(ctx context.Context, deploy string, u Upload, sent func(int64)) error {
	var before *counted
	return c.do(ctx, request{method: "PUT", path: u.at(deploy), size: u.Size, body: func() (io.ReadCloser, error) {
		if before != nil {
			before.undo()
		}
		f, err := u.Open()
		if err != nil {
			return nil, err
		}
		before = &counted{ReadCloser: f, of: u, sent: sent}
		return before, nil
	}})
}

// counted tells how much of it was read, and ends with an error if that is not what was announced.
type counted struct {
	io.ReadCloser
	of   Upload
	sent func(int64)

	mu   sync.Mutex
	n    int64
	over bool // another try has begun
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.n += int64(n)
		c.sent(int64(n))
	}
	if n > 0 && c.n == c.of.Size && err == nil { // before the server has it all, and may answer
		more, _ := c.ReadCloser.Read(make([]byte, 1))
		c.n += int64(more)
	}
	if !c.over && (c.n > c.of.Size || err == io.EOF && c.n < c.of.Size) {
		return 0, &weir.Error{Code: weir.Invalid, Message: "the file " + printable(c.of.Path+c.of.Function) + " has changed while it was uploaded", Remedy: "deploy again"}
	}
	return n, err
}

func (c *counted) undo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.sent(-c.n)
}
