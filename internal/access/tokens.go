package access

// The life of tokens: made, shown, revoked. Nothing is remembered of them between two requests, so a token that was
// revoked on one server counts on none from then on.

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// Token is what is known of a token. Its secret is known to its owner only.
type Token struct {
	ID       string    `json:"id"`   // a ULID
	Name     string    `json:"name"` // unique among the tokens of a server
	Kind     Kind      `json:"kind"`
	Role     Role      `json:"role"`            // of a Deployer: Developer
	Sites    []string  `json:"sites,omitempty"` // ids; nil: all, and the server
	Created  time.Time `json:"created"`
	Creator  string    `json:"creator"`            // name of the token that made it
	Expires  time.Time `json:"expires,omitzero"`   // zero: never
	LastUsed time.Time `json:"last_used,omitzero"` // at most usedEvery too early
}

// Spec is what is asked for when a token is made: the fields of Token with the same names.
type Spec struct {
	Name    string
	Kind    Kind // "": Personal
	Role    Role // of a Deployer "" or Developer
	Sites   []string
	Expires time.Time
}

const (
	bucket    = "tokens" // keys: "hash." and the digest of the secret; turnKey
	usedEvery = time.Minute
	maxName   = 64 // bytes
	maxSites  = 100
)

// Changes takes changes; *Journal does. A change that it doesn't take is not made.
type Changes interface {
	Append(ctx context.Context, c record.Change) error
}

// Service keeps the tokens of a store. It is safe for concurrent use, also by several servers at once.
type Service struct {
	kv      store.KV
	changes Changes
	now     func() time.Time
	slow    *slowdown
}

// New gives the tokens of a store. now is the clock; nil: time.Now.
func New(ctx context.Context, s store.Store, changes Changes, now func() time.Time) (*Service, error) {
	kv, err := s.KV(ctx, bucket)
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	return &Service{kv: kv, changes: changes, now: now, slow: newSlowdown(now)}, nil
}

// Create makes a token and gives its secret, which nobody can give again. Errors: weir.Denied without the right
// ManageTokens; weir.Invalid; weir.Conflict if there is one of this name.
func (s *Service) Create(ctx context.Context, by Identity, spec Spec) (Token, string, error) {
	if !by.May(ManageTokens, "") {
		return Token{}, "", denied()
	}
	secret := newSecret()
	t, err := s.create(ctx, by, spec, secret)
	if err != nil {
		return Token{}, "", err
	}
	return t, secret, nil
}

func (s *Service) create(ctx context.Context, by Identity, spec Spec, secret string) (Token, error) {
	now := s.now().UTC()
	if err := spec.check(now); err != nil {
		return Token{}, err
	}
	all, err := s.list(ctx)
	if err != nil {
		return Token{}, err
	}
	if slices.ContainsFunc(all, func(k kept) bool { return k.Name == spec.Name }) {
		return Token{}, &weir.Error{Code: weir.Conflict, Message: fmt.Sprintf("there is a token %q already", spec.Name),
			Remedy: "choose another name, or revoke that one first"}
	}
	t := Token{ID: ulid.Make().String(), Name: spec.Name, Kind: spec.Kind, Role: spec.Role, Sites: spec.Sites,
		Created: now, Creator: by.Name, Expires: spec.Expires}
	if err := s.changes.Append(ctx, t.change(by, "token.create", now)); err != nil {
		return Token{}, err
	}
	value, err := json.Marshal(t)
	if err != nil {
		return Token{}, err
	}
	_, err = s.kv.Create(ctx, key(secret), value)
	return t, err
}

// check tells what is wrong with a spec, and fills in what follows.
func (spec *Spec) check(now time.Time) error {
	if spec.Kind == "" {
		spec.Kind = Personal
	}
	if spec.Kind == Deployer && spec.Role == "" {
		spec.Role = Developer
	}
	name := spec.Name
	switch {
	case name == "" || len(name) > maxName || weir.Printable(name) != name || strings.TrimSpace(name) != name:
		return invalid(fmt.Sprintf("the name of a token has 1 to %d bytes on one line", maxName), "give it a name such as ci-shop or anna")
	case spec.Kind != Personal && spec.Kind != Deployer:
		return invalid(fmt.Sprintf("there is no kind %.40q of tokens", spec.Kind), "kinds are personal and deploy")
	case !slices.Contains(Roles, spec.Role):
		return invalid(fmt.Sprintf("there is no role %.40q", spec.Role), "roles are viewer, developer, approver and owner")
	case spec.Kind == Deployer && (len(spec.Sites) != 1 || spec.Role != Developer):
		return invalid("a deploy token is for exactly one site and has no role of its own", "name the site")
	case spec.Sites != nil && (len(spec.Sites) == 0 || len(spec.Sites) > maxSites || slices.Contains(spec.Sites, "")):
		return invalid(fmt.Sprintf("a token is for 1 to %d sites, or for all", maxSites), "name the sites, or leave them out for all")
	case !spec.Expires.IsZero() && !spec.Expires.After(now):
		return invalid("the token would have expired already", "give a time to come, or none")
	}
	return nil
}

// List gives all tokens, the oldest first. Errors: weir.Denied without the right ManageTokens.
func (s *Service) List(ctx context.Context, by Identity) ([]Token, error) {
	if !by.May(ManageTokens, "") {
		return nil, denied()
	}
	all, err := s.list(ctx)
	out := make([]Token, len(all))
	for i, k := range all {
		out[i] = k.Token
	}
	slices.SortFunc(out, func(a, b Token) int { return strings.Compare(a.ID, b.ID) })
	return out, err
}

// kept is a token and where it is kept.
type kept struct {
	Token
	key string
}

func (s *Service) list(ctx context.Context) ([]kept, error) {
	entries, err := s.kv.List(ctx, "hash")
	if err != nil {
		return nil, err
	}
	var out []kept
	for _, e := range entries {
		t, err := decode(e)
		if err != nil {
			return nil, err
		}
		out = append(out, kept{t, e.Key})
	}
	return out, nil
}

func decode(e store.Entry) (Token, error) {
	var t Token
	if err := json.Unmarshal(e.Value, &t); err != nil {
		return Token{}, &weir.Error{Code: weir.Internal, Message: "a token in the store can't be read", Err: err}
	}
	return t, nil
}

// Revoke ends a token, by its id or name; every token may end itself. No server takes it once Revoke has returned.
// Errors: weir.Denied without the right ManageTokens; weir.NotFound.
func (s *Service) Revoke(ctx context.Context, by Identity, idOrName string) (Token, error) {
	if !by.May(ManageTokens, "") && (by.ID == "" || idOrName != by.ID) {
		return Token{}, denied()
	}
	all, err := s.list(ctx)
	if err != nil {
		return Token{}, err
	}
	at := slices.IndexFunc(all, func(k kept) bool { return k.ID == idOrName })
	if at < 0 {
		at = slices.IndexFunc(all, func(k kept) bool { return k.Name == idOrName })
	}
	if at < 0 {
		return Token{}, &weir.Error{Code: weir.NotFound, Message: "there is no such token", Remedy: "weir token list shows all"}
	}
	t := all[at]
	if err := s.changes.Append(ctx, t.change(by, "token.revoke", s.now().UTC())); err != nil {
		return Token{}, err
	}
	return t.Token, s.kv.Delete(ctx, t.key, 0)
}

// Authenticate tells whose token was shown, by a client at an address. Errors: weir.Unknown if it doesn't count;
// weir.Busy if the client has shown too many that didn't.
func (s *Service) Authenticate(ctx context.Context, bearer, from string) (Identity, error) {
	client, sum := clientOf(from), digest(bearer)
	if s.slow.refuses(client, sum) {
		return Identity{}, &weir.Error{Code: weir.Busy, Message: "too many wrong tokens came from this address",
			Remedy: fmt.Sprintf("wait %v, then use a token that counts", clientEvery)}
	}
	t, err := s.find(ctx, bearer)
	if err != nil {
		if weir.ErrorCode(err) == weir.Unknown {
			s.slow.failed(client, sum)
		}
		return Identity{}, err
	}
	s.slow.succeeded(sum)
	return t.identity(from), nil
}

func (t *Token) identity(from string) Identity {
	return Identity{ID: t.ID, Name: t.Name, Kind: t.Kind, Role: t.Role, Sites: t.Sites, From: from}
}

// find gives the token of a secret, and notes that it was used. The store is asked by the digest, of which nobody can
// choose a part, so the time that it takes tells nothing.
func (s *Service) find(ctx context.Context, secret string) (Token, error) {
	if !wellFormed(secret) {
		return Token{}, unknown("the token is mistyped or incomplete, or of another server")
	}
	e, err := s.kv.Get(ctx, key(secret))
	if weir.ErrorCode(err) == weir.NotFound {
		return Token{}, unknown("the token is not known, or was revoked")
	}
	if err != nil {
		return Token{}, err
	}
	t, err := decode(e)
	if err != nil {
		return Token{}, err
	}
	now := s.now().UTC()
	if t.expired(now) {
		return Token{}, unknown("the token has expired")
	}
	if now.Sub(t.LastUsed) >= usedEvery {
		t.LastUsed = now
		if value, err := json.Marshal(t); err == nil {
			// If it fails, somebody else has just used or revoked it, and both are more important.
			_, _ = s.kv.Update(ctx, e.Key, value, e.Revision)
		}
	}
	return t, nil
}

func (t *Token) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

func key(secret string) string { return "hash." + digest(secret) }

// change gives the change that a token is made or ended by.
func (t *Token) change(by Identity, action string, now time.Time) record.Change {
	detail := map[string]string{"token": t.ID, "name": t.Name, "kind": string(t.Kind), "role": string(t.Role)}
	if t.Sites != nil {
		detail["sites"] = strings.Join(t.Sites, " ")
	}
	if !t.Expires.IsZero() {
		detail["expires"] = t.Expires.UTC().Format(time.RFC3339)
	}
	return record.Change{Time: now, Author: by.Name, From: by.From, Action: action, Detail: detail}
}

func denied() error {
	return &weir.Error{Code: weir.Denied, Message: "this token may not manage tokens", Remedy: "ask an owner of this server"}
}

func invalid(message, remedy string) error {
	return &weir.Error{Code: weir.Invalid, Message: message, Remedy: remedy}
}
