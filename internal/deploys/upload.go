package deploys

// Contents arrive, each by itself, on whichever server the client reaches, and more than once if an answer was lost.
// None is held in memory; one that isn't what was declared is not kept.

import (
	"context"
	"crypto/sha1" // by which Netlify's clients know files; what is served is known by SHA-256
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/weir-run/weir/internal/weir"
)

// FunctionUpload is what a client says of a function besides its archive.
type FunctionUpload struct {
	Runtime    string // "js", "nodejs22.x"
	Background bool
}

// part is a file or a function of a deploy.
type part struct {
	kind, name string
	digest     func(contents) string // "": the deploy has none of this name
	most       int64                 // bytes
}

func (p *part) find(c contents) (string, error) {
	sum := p.digest(c)
	if sum == "" {
		return "", &weir.Error{Code: weir.NotFound, Message: "the deploy has no " + p.kind + " " + quote(p.name), Remedy: "declare it first"}
	}
	return sum, nil
}

// UploadFile takes the content of a file by one of its paths; every path with the same SHA-1 has it then. An error of
// r is given back as it is. Errors: weir.NotFound for a path that wasn't declared, weir.Invalid if the content is not
// what was declared, weir.TooLarge; then nothing is changed.
func (s *Service) UploadFile(ctx context.Context, a Author, id, path string, r io.Reader) error {
	name, err := cleanPath(path)
	if err != nil {
		return err
	}
	p := part{"file", name, func(c contents) string { return c.Files[name] }, s.o.Limits.File}
	return s.upload(ctx, a, id, p, received{}, r)
}

// UploadFunction takes the archive of a function. Errors are those of UploadFile.
func (s *Service) UploadFunction(ctx context.Context, a Author, id, name string, u FunctionUpload, r io.Reader) error {
	p := part{"function", name, func(c contents) string { return c.Functions[name].SHA256 }, s.o.Limits.Function}
	return s.upload(ctx, a, id, p, received{Runtime: weir.Cut(u.Runtime, 64), Background: u.Background}, r)
}

func (s *Service) upload(ctx context.Context, a Author, id string, of part, got received, body io.Reader) error {
	d, err := s.readDeploy(ctx, id)
	if err != nil {
		return err
	}
	if whole(d.State) {
		return s.again(ctx, d, of)
	}
	if d.State != weir.DeployPrepared && d.State != weir.DeployUploading {
		return &weir.Error{Code: weir.Conflict, Message: fmt.Sprintf("the deploy %s takes no uploads: its state is %s", d.ID, d.State),
			Remedy: "say first what it consists of, and wait until it is prepared"}
	}
	p, err := s.received(ctx, d)
	if errors.Is(err, errPast) {
		return s.upload(ctx, a, id, of, got, body)
	}
	if err != nil {
		return err
	}
	sum, err := of.find(p.contents)
	if err != nil || p.has(sum) {
		return err
	}
	if d, err = s.uploading(ctx, a, d); err != nil {
		return err
	}
	c := &content{from: body, most: of.most, want: sum, what: "the " + of.kind + " " + quote(of.name), spend: func(n int64) error { return s.spend(d.Site, n) }}
	if isSHA1.MatchString(sum) {
		c.sum = sha1.New()
	}
	if got, err = s.receive(ctx, d, sum, c, p, got); err != nil {
		return err
	}
	s.note(d.ID, p, sum, got)
	return s.wakeIfWhole(ctx, d)
}

// uploading notes that somebody has begun to upload to a deploy.
func (s *Service) uploading(ctx context.Context, a Author, d deployRecord) (deployRecord, error) {
	return s.updateDeploy(ctx, d, func(r *deployRecord) error {
		if r.Declared != d.Declared {
			return &weir.Error{Code: weir.Conflict, Message: "other contents of the deploy were declared meanwhile", Remedy: "ask again what is missing"}
		}
		if r.State != weir.DeployPrepared && (a.CanApprove || !r.CanApprove) {
			return errSame
		}
		if r.State == weir.DeployPrepared {
			r.State = weir.DeployUploading
		}
		r.CanApprove = r.CanApprove && a.CanApprove
		return nil
	})
}

// whole tells whether all of a deploy is there.
func whole(state weir.DeployState) bool {
	return state == weir.DeployUploaded || state == weir.DeployProcessing || state == weir.DeployReady
}

// again answers an upload of what is there, whose first answer was lost.
func (s *Service) again(ctx context.Context, d deployRecord, of part) error {
	var c contents
	if d.State != weir.DeployReady {
		err := s.readDocument(ctx, d.Declared, &c)
		if weir.ErrorCode(err) == weir.NotFound {
			if now, readErr := s.readDeploy(ctx, d.ID); readErr == nil && now.State == weir.DeployReady {
				return s.again(ctx, now, of)
			}
		}
		if err != nil {
			return err
		}
	} else {
		m, err := s.manifest(ctx, d)
		if err != nil {
			return err
		}
		c = contentsOf(m)
	}
	_, err := of.find(c)
	return err
}

// contentsOf gives a manifest as it was declared.
func contentsOf(m weir.Manifest) contents {
	c := contents{Files: map[string]string{}, Functions: map[string]DeclaredFunction{}}
	for path, f := range m.Files {
		c.Files[path] = f.SHA1
	}
	for name, f := range m.Functions {
		c.Functions[name] = DeclaredFunction{SHA256: f.SHA256, Config: f.Config}
	}
	return c
}

// receive keeps a content of a deploy, and notes that it is there.
func (s *Service) receive(ctx context.Context, d deployRecord, sum string, c *content, p *progress, got received) (received, error) {
	key, taken := "received."+d.ID+"."+sum, false
	err := s.guarded(ctx, func() ([]string, error) {
		if taken { // it was removed again, as one that nothing referred to
			if err := s.uploads.Delete(ctx, key, 0); err != nil {
				return nil, err
			}
			return nil, &weir.Error{Code: weir.Unavailable, Message: c.what + " could not be kept", Remedy: "send it again"}
		}
		taken = true
		blob, err := s.blobs.Put(ctx, c, c.digest())
		if err != nil { // nothing is kept of it
			s.refund(d.Site, c.spent)
			return nil, err
		}
		p.mu.Lock()
		total := p.bytes + blob.Size
		p.mu.Unlock()
		if total > s.o.Limits.Deploy {
			return nil, tooLarge("the deploy", s.o.Limits.Deploy)
		}
		got.SHA256, got.Size = blob.SHA256, blob.Size
		_, err = s.uploads.Put(ctx, key, encode(got))
		return []string{blob.SHA256}, err
	})
	return got, err
}

func tooLarge(what string, most int64) error {
	return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("%s has more than %d MB", what, most>>20), Remedy: "make it smaller, or raise the server's limit"}
}

// content is what a client sends. It ends with an error if it is too large or not what was declared.
type content struct {
	from io.Reader
	most int64     // bytes
	want string    // its digest
	sum  hash.Hash // of want, if that is no SHA-256, which the store compares
	what string
	read int64

	spend func(bytes int64) error // is told what is about to be written
	spent int64
}

func (c *content) digest() string {
	if c.sum != nil {
		return ""
	}
	return c.want
}

func (c *content) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if c.read += int64(n); c.read > c.most {
		return 0, tooLarge(c.what, c.most)
	}
	if err := c.spend(int64(n)); err != nil {
		return 0, err
	}
	c.spent += int64(n)
	if c.sum == nil {
		return n, err
	}
	c.sum.Write(p[:n])
	if err == io.EOF {
		if sum := hex.EncodeToString(c.sum.Sum(nil)); sum != c.want {
			return 0, &weir.Error{Code: weir.Invalid, Message: c.what + " has the SHA-1 " + sum + ", but " + c.want + " was declared", Remedy: "deploy again"}
		}
	}
	return n, err
}
