package environ

// What functions get, and when that changes.

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// Query says whose variables are asked for.
type Query struct {
	Site    string // id
	Deploy  string // id; "": without those that a deploy alone has
	Context string // of the deploy
	Branch  string // its alias, "" for none
	Scope   string // of Scopes; "": any
	Secrets bool   // with those that are secret; without, they are left out
}

// Resolve gives the variables of a deploy by name: those of all sites, of the site and of the deploy, the later
// before the earlier, each in its most specific value. They are what records must not hold (record.Redactor). Errors:
// weir.Internal if one can't be opened; nothing is left out in silence.
func (s *Service) Resolve(ctx context.Context, q Query) (map[string]string, error) {
	places := []place{ofSite(""), ofSite(q.Site)}
	if q.Deploy != "" {
		places = append(places, ofDeploy(q.Deploy))
	}
	out := map[string]string{}
	for _, p := range places {
		all, err := s.list(ctx, p)
		if err != nil {
			return nil, err
		}
		for _, v := range all {
			if q.Scope != "" && !slices.Contains(v.Scopes, q.Scope) {
				continue
			}
			value, has := v.in(q.Context, q.Branch)
			switch {
			case !has:
			case v.Secret && !q.Secrets:
				delete(out, v.Key) // what it stands before must not come to light
			default:
				out[v.Key] = value
			}
		}
	}
	return out, nil
}

// Watch calls each with the id of a site whenever its variables have changed, with "" for those of all sites, until
// ctx ends or each gives an error. It calls begun once, unless nil, before the first: what is resolved after that is
// outdated only if each tells. Errors: that of each, those of the store.
func (s *Service) Watch(ctx context.Context, begun func(), each func(site string) error) error {
	current := false
	err := s.kv.Watch(ctx, "", func(c store.Change) error {
		tokens := strings.Split(c.Key, ".")
		switch {
		case c.Current:
			if !current && begun != nil {
				begun()
			}
			current = true
		case !current:
		case tokens[0] == "account":
			return each("")
		case tokens[0] == "site":
			return each(store.Text(tokens[1]))
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Rotate seals all variables anew with the first key of the key file, and tells how many were sealed with another.
// Once every server has that key in front, and Rotate has run without an error after that, the others aren't needed.
func (s *Service) Rotate(ctx context.Context, by Author) (int, error) {
	if err := s.changes.Append(ctx, record.Change{Time: s.now().UTC(), Author: by.Name, From: by.From, Action: "env.rotate"}); err != nil {
		return 0, err
	}
	all, err := s.kv.Keys(ctx, "")
	n := 0
	for _, key := range all {
		if key == checkKeyName {
			continue
		}
		done, wrong := s.reseal(ctx, key)
		if done && wrong == nil {
			n++
		}
		err = errors.Join(err, wrong) // the others are sealed all the same
	}
	if err == nil { // not before: where it was sealed anew, a server starts without the old key
		_, err = s.reseal(ctx, checkKeyName)
	}
	return n, err
}

// reseal seals a variable anew, unless that has been done or it is gone.
func (s *Service) reseal(ctx context.Context, key string) (done bool, err error) {
	for {
		if done, err = s.tryReseal(ctx, key); !errors.Is(err, store.ErrConflict) {
			return done, err
		}
	}
}

func (s *Service) tryReseal(ctx context.Context, key string) (bool, error) {
	e, err := s.kv.Get(ctx, key)
	if weir.ErrorCode(err) == weir.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := s.keys[:1].open(e); err == nil {
		return false, nil
	}
	v, err := s.keys.open(e)
	if err != nil {
		return false, err
	}
	value, err := s.keys.seal(key, v)
	if err != nil {
		return false, err
	}
	return true, s.write(ctx, key, value, e.Revision)
}
