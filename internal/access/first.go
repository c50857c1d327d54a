package access

// The first token of a server, which nobody can ask for: whoever can read the server's files gets it.

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// OwnerFile is the name of the file, in the state directory, that First writes to.
const OwnerFile = "owner.token"

// First makes an owner's token if there is none that counts, and tells whether it did: on the first start, and after
// the last owner's token was lost and revoked or has expired. Of several servers that start at once, one does. The
// secret goes into a file at path, in place of any that is there and readable by the server's user only, before it
// counts.
func (s *Service) First(ctx context.Context, path string) (bool, error) {
	if owned, err := s.owned(ctx); owned || err != nil {
		return false, err
	}
	turn, err := s.takeTurn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = s.kv.Delete(context.WithoutCancel(ctx), turnKey, turn) }() // what is left is taken over after turnTime
	if owned, err := s.owned(ctx); owned || err != nil {
		return false, err
	}
	err = s.makeOwner(ctx, path)
	return err == nil, err
}

// Another makes one more owner's token, for who has lost the others, and writes it to path as First does. Errors:
// weir.Conflict if there is a file already: whoever asks for this at every start gets one token.
func (s *Service) Another(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return &weir.Error{Code: weir.Conflict, Pos: weir.Position{File: path}, Message: "the file for another owner's token is there already", Err: err,
			Remedy: "use the token in it, or remove the file"}
	}
	return s.makeOwner(ctx, path)
}

func (s *Service) makeOwner(ctx context.Context, path string) error {
	secret := newSecret()
	if err := keep(path, secret); err != nil {
		return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: "the first owner's token can't be written", Err: err,
			Remedy: "make its folder writable for the server's user"}
	}
	_, err := s.create(ctx, Identity{Name: "weir serve"}, Spec{Name: s.now().UTC().Format("owner-20060102T150405.000000"), Role: Owner}, secret)
	return err
}

// owned tells whether there is an owner's token that counts.
func (s *Service) owned(ctx context.Context) (bool, error) {
	all, err := s.list(ctx)
	now := s.now().UTC()
	return slices.ContainsFunc(all, func(k kept) bool { return k.identity("").May(ManageTokens, "") && !k.expired(now) }), err
}

const (
	turnKey  = "first"         // is there while a server makes a first token
	turnTime = 5 * time.Second // after which that server is believed to have ended
)

// takeTurn waits until no other server makes a first token, and gives the revision of the key that keeps them from it.
func (s *Service) takeTurn(ctx context.Context) (uint64, error) {
	var other uint64 // revision of the turn that is waited for
	var since time.Time
	for {
		turn, err := s.kv.Create(ctx, turnKey, nil)
		if errors.Is(err, store.ErrConflict) {
			var e store.Entry
			e, err = s.kv.Get(ctx, turnKey)
			switch {
			case weir.ErrorCode(err) == weir.NotFound:
				continue
			case err == nil && e.Revision != other:
				other, since = e.Revision, time.Now()
			case err == nil && time.Since(since) > turnTime:
				turn, err = s.kv.Update(ctx, turnKey, nil, other)
			}
		}
		if turn != 0 || err != nil && !errors.Is(err, store.ErrConflict) {
			return turn, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(turnTime / 100):
		}
	}
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
