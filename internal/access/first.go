package access

// The first token of a server, which nobody can ask for: whoever can read the server's files gets it.

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/weir-run/weir/internal/weir"
)

// OwnerFile is the name of the file, in the state directory, that First writes to.
const OwnerFile = "owner.token"

// First makes an owner's token if there is none that counts, and tells whether it did: on the first start, and after
// the last owner's token was lost and revoked or has expired. The secret goes into a file at path, in place of any
// that is there and readable by the server's user only, before it counts.
func (s *Service) First(ctx context.Context, path string) (bool, error) {
	all, err := s.list(ctx)
	if err != nil {
		return false, err
	}
	now := s.now().UTC()
	if slices.ContainsFunc(all, func(k kept) bool { return k.identity("").May(ManageTokens, "") && !k.expired(now) }) {
		return false, nil
	}
	secret := newSecret()
	if err := keep(path, secret); err != nil {
		return false, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: "the first owner's token can't be written", Err: err,
			Remedy: "make its folder writable for the server's user"}
	}
	_, err = s.create(ctx, Identity{Name: "weir serve"}, Spec{Name: now.Format("owner-20060102T150405.000000"), Role: Owner}, secret)
	return err == nil, err
}

// keep writes a secret to a file of mode 0600. A link at path is replaced, never followed.
func keep(path, secret string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".token.*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
