package snapshot

// An earlier revision of a site, as git keeps it.

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// Bounds of what is taken out of a repository, in bytes.
const (
	maxTree   = 256 << 20
	maxStderr = 4 << 10
)

// OpenGit reads the policies that the site in dir had in a revision: it unpacks the folder as it was,
// without its dependencies, and removes it again. Errors are as for Open; that of ctx if it ends.
func OpenGit(ctx context.Context, revision, dir string, env map[string]string) (*Snapshot, error) {
	if revision == "" || strings.HasPrefix(revision, "-") {
		return nil, &weir.Error{Code: weir.Invalid, Message: "that is not a revision of git", Remedy: "name a branch, a tag or a commit"}
	}
	tmp, err := os.MkdirTemp("", "weir-git-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "git", "-C", dir, "archive", "--format=tar", revision, ".")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "git can't be started", Err: err, Remedy: "install it, or name two folders"}
	}
	unpackErr := unpack(out, tmp)
	if unpackErr != nil {
		_ = cmd.Process.Kill() // nobody reads on
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && unpackErr == nil {
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()[:min(stderr.Len(), maxStderr)]), "\n")
		return nil, &weir.Error{Code: weir.Invalid, Message: "git has no such revision of " + dir, Err: errors.New(said), Remedy: "name a branch, a tag or a commit that holds the folder"}
	}
	if unpackErr != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the revision can't be unpacked", Err: unpackErr}
	}
	s, err := openSite(tmp, env)
	if err != nil {
		return nil, err
	}
	s.Dir = dir
	return s, nil
}

// unpack writes the regular files of a tar archive to dir. Dependencies hold no policy and are left
// out; links are, too: they could lead out of dir.
func unpack(in io.Reader, dir string) error {
	left := int64(maxTree)
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.FromSlash(h.Name)
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) || strings.Contains("/"+h.Name, "/node_modules/") {
			continue
		}
		if left -= h.Size; left < 0 {
			return errors.New("it is larger than 256MB")
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}
