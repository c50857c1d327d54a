package environ

// Setting and showing variables. Each is one value of the store, changed by compare-and-set, so that two who change
// one at once both find their change in it.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// Author is who changes something, for the journal.
type Author struct {
	Name string // of the token
	From string // address of the client
}

// Changes takes changes. A change that it doesn't take is not made.
type Changes interface {
	Append(ctx context.Context, c record.Change) error
}

// Options say where variables are.
type Options struct {
	Store    store.Store
	Changes  Changes
	StateDir string           // KeyFile is made there for a store that has no variables yet
	KeyFile  string           // path of another key file, which is never made; "": that of StateDir
	Clock    func() time.Time // nil: time.Now
	// Forget removes all variables of a store that the key file does not fit: they are lost. If it fits, Open fails.
	Forget bool
}

// Service keeps the variables of a store. It is safe for concurrent use, also by several servers at once that have
// the same key.
type Service struct {
	kv      store.KV
	keys    keys
	changes Changes
	now     func() time.Time
}

// bucket has these keys: "check", which tells whether a key file fits; and the variables, see place.
const bucket = "variables"

const checkKeyName = "check"

// places are the first tokens of the keys of variables.
var places = []string{"account", "site", "deploy"}

// Open gives the variables of a store. Errors: weir.Invalid if the key file can't be used or does not fit the store.
func Open(ctx context.Context, o Options) (*Service, error) {
	s, err := open(ctx, o)
	if !o.Forget {
		return s, err
	}
	if err == nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the key file fits, so no variable is lost", Remedy: "leave --forget-variables out"}
	}
	missing := errors.Is(err, fs.ErrNotExist) && o.KeyFile == "" // else one is made
	if !missing && !errors.Is(err, errOtherKey) {
		return nil, err
	}
	kv, err := o.Store.KV(ctx, bucket)
	if err != nil {
		return nil, err
	}
	s = &Service{kv: kv, changes: o.Changes}
	if err := s.changes.Append(ctx, record.Change{Time: time.Now().UTC(), Author: "weir serve", Action: "env.forget"}); err != nil {
		return nil, err
	}
	for _, prefix := range places { // what says that they are lost goes last: who is stopped on the way can begin again
		if err := s.remove(ctx, prefix); err != nil {
			return nil, err
		}
	}
	if err := kv.Delete(ctx, checkKeyName, 0); err != nil {
		return nil, err
	}
	return open(ctx, o)
}

// errOtherKey says that no key of the file has sealed what tells whether one fits.
var errOtherKey = errors.New("none of its keys fits")

func open(ctx context.Context, o Options) (*Service, error) {
	kv, err := o.Store.KV(ctx, bucket)
	if err != nil {
		return nil, err
	}
	s := &Service{kv: kv, changes: o.Changes, now: o.Clock}
	if s.now == nil {
		s.now = time.Now
	}
	path := o.KeyFile
	if path == "" {
		path = filepath.Join(o.StateDir, KeyFile)
	}
	check, err := kv.Get(ctx, checkKeyName)
	fresh := weir.ErrorCode(err) == weir.NotFound
	if err != nil && !fresh {
		return nil, err
	}
	s.keys, err = readKeys(path)
	if errors.Is(err, fs.ErrNotExist) && fresh && o.KeyFile == "" {
		if err := makeKeys(path); err != nil {
			return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: "the key file for variables can't be made", Err: err,
				Remedy: "make its folder writable for the server's user"}
		}
		s.keys, err = readKeys(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unfit(path, "the key file for variables is not there", err)
	}
	if err != nil {
		return nil, err
	}
	if fresh {
		if check, err = s.begin(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := s.keys.open(check); err != nil {
		return nil, unfit(path, "the variables of this store were sealed with another key", errOtherKey)
	}
	return s, nil
}

// begin writes what tells whether a key file fits, unless another server has just done so.
func (s *Service) begin(ctx context.Context) (store.Entry, error) {
	value, err := s.keys.seal(checkKeyName, Variable{})
	if err != nil {
		return store.Entry{}, err
	}
	if _, err := s.kv.Create(ctx, checkKeyName, value); err != nil && !errors.Is(err, store.ErrConflict) {
		return store.Entry{}, err
	}
	return s.kv.Get(ctx, checkKeyName)
}

func unfit(path, message string, err error) error {
	return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: message, Err: err,
		Remedy: "copy the key file from another server of this store, or from where its copy is kept"}
}

// place is where variables are: those of all sites, of a site, or of a deploy. With a variable's name it makes a key
// of the store.
type place string

func ofSite(id string) place {
	if id == "" {
		return "account"
	}
	return place("site." + store.Token(id))
}

func ofDeploy(id string) place { return place("deploy." + store.Token(id)) }

func (p place) at(key string) string { return string(p) + "." + store.Token(key) }

// List gives the variables of a site, or those of all sites if it is "", by name; of secrets without the values.
func (s *Service) List(ctx context.Context, site string) ([]Variable, error) {
	all, err := s.list(ctx, ofSite(site))
	for i := range all {
		all[i] = all[i].masked()
	}
	return all, err
}

func (s *Service) list(ctx context.Context, p place) ([]Variable, error) {
	entries, err := s.kv.List(ctx, string(p))
	if err != nil {
		return nil, err
	}
	var out []Variable
	for _, e := range entries {
		v, err := s.keys.open(e)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Variable) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Get gives one; of a secret without the values. Errors: weir.NotFound.
func (s *Service) Get(ctx context.Context, site, key string) (Variable, error) {
	v, _, err := s.get(ctx, ofSite(site), key)
	return v.masked(), err
}

func (s *Service) get(ctx context.Context, p place, key string) (Variable, uint64, error) {
	if err := checkKey(key); err != nil {
		return Variable{}, 0, err
	}
	e, err := s.kv.Get(ctx, p.at(key))
	if weir.ErrorCode(err) == weir.NotFound {
		return Variable{}, 0, &weir.Error{Code: weir.NotFound, Message: "there is no variable " + key, Remedy: "weir env list shows those that there are"}
	}
	if err != nil {
		return Variable{}, 0, err
	}
	v, err := s.keys.open(e)
	return v, e.Revision, err
}

// Set makes a variable, or replaces it with all its values. What was secret stays so. Errors: weir.Invalid,
// weir.TooLarge.
func (s *Service) Set(ctx context.Context, by Author, v Variable) error {
	return s.set(ctx, by, ofSite(v.Site), "", v)
}

// SetDeployVariables makes variables that one deploy alone has. They go before those of its site.
func (s *Service) SetDeployVariables(ctx context.Context, by Author, deploy string, all []Variable) error {
	for _, v := range all { // all are looked at before one is set
		if err := v.check(); err != nil {
			return err
		}
	}
	for _, v := range all {
		if err := s.set(ctx, by, ofDeploy(deploy), deploy, v); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) set(ctx context.Context, by Author, p place, deploy string, v Variable) error {
	v.Values, v.Scopes = slices.Clone(v.Values), slices.Clone(v.Scopes)
	if err := v.check(); err != nil {
		return err
	}
	c := s.change(by, "env.set", v.Site, v.Key)
	c.Deploy = deploy
	c.Detail["contexts"], c.Detail["scopes"] = contexts(v.Values), strings.Join(v.Scopes, " ")
	if v.Secret {
		c.Detail["secret"] = "true"
	}
	return s.update(ctx, p, c, func(old Variable, there bool) (Variable, error) {
		v := v
		v.Secret = v.Secret || old.Secret
		if v.Secret {
			v.Values = keep(v.Values, &old)
		}
		err := v.check()
		switch {
		case err != nil:
		case len(v.Values) == 0:
			err = invalid(v.Key+" has no value", "give one")
		}
		return v, err
	})
}

// keep puts in the place of each empty value the one that was there, and leaves it out if none was: who sets what was
// given to it without values changes none.
func keep(values []Value, old *Variable) []Value {
	var out []Value
	for _, w := range values {
		if w.Value == "" {
			i := old.at(w)
			if i < 0 {
				continue
			}
			w = old.Values[i]
		}
		out = append(out, w)
	}
	return out
}

// room refuses what is more than a place may hold. Of several that are written at the same moment, all may pass.
func (s *Service) room(ctx context.Context, p place, at string, size int) error {
	all, err := s.kv.List(ctx, string(p))
	if err != nil {
		return err
	}
	others := 0
	for _, e := range all {
		if e.Key != at {
			others++
			size += len(e.Value)
		}
	}
	switch {
	case others >= MaxVariables:
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("there are %d variables already", others), Remedy: "remove those that nobody needs"}
	case size > MaxPlace:
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("all variables would have more than %d MB together", MaxPlace>>20),
			Remedy: "remove those that nobody needs, or put what is long into a file of the function"}
	}
	return nil
}

// SetValue sets the value of a variable in one context. Errors: weir.NotFound if there is no such variable;
// weir.Invalid, weir.TooLarge.
func (s *Service) SetValue(ctx context.Context, by Author, site, key string, w Value) error {
	if err := w.check(key); err != nil {
		return err
	}
	c := s.change(by, "env.set", site, key)
	c.Detail["contexts"] = contexts([]Value{w})
	return s.update(ctx, ofSite(site), c, func(v Variable, there bool) (Variable, error) {
		i := v.at(w)
		switch {
		case !there:
			return v, gone(key)
		case v.Secret && w.Value == "":
			return v, invalid(key+" is a secret, and its new value is empty", "give a value, or remove that of this context")
		case i >= 0:
			v.Values[i] = w
		default:
			v.Values = append(v.Values, w)
		}
		return v, v.check()
	})
}

// DeleteValue removes the value for the context of w. A variable whose last value is removed stays, without any. It is
// no error if there is no such value. Errors: weir.NotFound if there is no such variable.
func (s *Service) DeleteValue(ctx context.Context, by Author, site, key string, w Value) error {
	w.Value = ""
	if err := w.check(key); err != nil {
		return err
	}
	c := s.change(by, "env.delete", site, key)
	c.Detail["contexts"] = contexts([]Value{w})
	return s.update(ctx, ofSite(site), c, func(v Variable, there bool) (Variable, error) {
		if !there {
			return v, gone(key)
		}
		v.Values = slices.DeleteFunc(v.Values, w.sameContext)
		return v, nil
	})
}

func gone(key string) error {
	return &weir.Error{Code: weir.NotFound, Message: "there is no variable " + key, Remedy: "set it with all that belongs to it"}
}

// update changes a variable, again and again until nobody else has changed it meanwhile. It is in the journal first.
func (s *Service) update(ctx context.Context, p place, c record.Change, do func(old Variable, there bool) (Variable, error)) error {
	key := c.Detail["key"]
	for told := false; ; told = true {
		old, revision, err := s.get(ctx, p, key)
		there := err == nil
		if err != nil && weir.ErrorCode(err) != weir.NotFound {
			return err
		}
		v, err := do(old, there)
		if err != nil {
			return err
		}
		v.Author, v.Updated = c.Author, c.Time
		value, err := s.keys.seal(p.at(key), v)
		if err == nil {
			err = s.room(ctx, p, p.at(key), len(value))
		}
		if err != nil {
			return err
		}
		if !told {
			if err := s.changes.Append(ctx, c); err != nil {
				return err
			}
		}
		if err := s.write(ctx, p.at(key), value, revision); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// write puts a sealed variable in place of that of a revision; 0: where none is.
func (s *Service) write(ctx context.Context, at string, value []byte, revision uint64) (err error) {
	if revision == 0 {
		_, err = s.kv.Create(ctx, at, value)
	} else {
		_, err = s.kv.Update(ctx, at, value, revision)
	}
	return err
}

// Delete removes a variable. Errors: weir.NotFound.
func (s *Service) Delete(ctx context.Context, by Author, site, key string) error {
	p := ofSite(site)
	if _, _, err := s.get(ctx, p, key); err != nil && weir.ErrorCode(err) != weir.Internal { // one that can't be opened can be removed
		return err
	}
	if err := s.changes.Append(ctx, s.change(by, "env.delete", site, key)); err != nil {
		return err
	}
	return s.kv.Delete(ctx, p.at(key), 0)
}

// RemoveSite removes all variables of a site that is no more; RemoveDeploy those of a deploy.
func (s *Service) RemoveSite(ctx context.Context, id string) error {
	return s.remove(ctx, "site."+store.Token(id))
}

// RemoveDeploy is like RemoveSite.
func (s *Service) RemoveDeploy(ctx context.Context, id string) error {
	return s.remove(ctx, "deploy."+store.Token(id))
}

// remove removes all values below a prefix.
func (s *Service) remove(ctx context.Context, prefix string) error {
	keys, err := s.kv.Keys(ctx, prefix)
	for _, key := range keys {
		err = errors.Join(err, s.kv.Delete(ctx, key, 0))
	}
	return err
}

func (s *Service) change(by Author, action, site, key string) record.Change {
	return record.Change{Time: s.now().UTC(), Author: by.Name, From: by.From, Action: action, Site: site, Detail: map[string]string{"key": key}}
}

// contexts names the contexts of values for the journal.
func contexts(values []Value) string {
	var out []string
	for _, v := range values {
		name := v.Context
		if v.Branch != "" {
			name += ":" + v.Branch
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}
