package access

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/natsstore"
	"github.com/weir-run/weir/internal/weir"
)

func open(t *testing.T) store.Store {
	t.Helper()
	s, err := natsstore.Open(t.Context(), natsstore.Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// changes keeps changes, or refuses them.
type changes struct {
	mu   sync.Mutex
	all  []record.Change
	fail error
}

func (c *changes) Append(_ context.Context, ch record.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail == nil {
		c.all = append(c.all, ch)
	}
	return c.fail
}

var root = Identity{ID: "root", Name: "root", Kind: Personal, Role: Owner, From: "192.0.2.9"}

func want(t *testing.T, err error, code weir.Code) {
	t.Helper()
	if weir.ErrorCode(err) != code {
		t.Errorf("%v, want an error of code %q", err, code)
	}
}

// TestLifeOfATokenOnTwoServers: what one server makes and revokes counts at once on the other.
func TestLifeOfATokenOnTwoServers(t *testing.T) {
	ctx, s, log, c := t.Context(), open(t), &changes{}, &clock{at: time.Now()}
	one, err := New(ctx, s, log, c.now)
	must(t, err)
	two, err := New(ctx, s, log, c.now)
	must(t, err)

	token, secret, err := one.Create(ctx, root, Spec{Name: "anna", Role: Developer, Sites: []string{"s1"}, Expires: c.at.Add(time.Hour)})
	must(t, err)
	id, err := two.Authenticate(ctx, secret, "192.0.2.1")
	if err != nil || id.Name != "anna" || id.ID != token.ID || id.From != "192.0.2.1" || !id.May(Deploy, "s1") || id.May(Deploy, "s2") || id.May(Approve, "s1") {
		t.Errorf("%+v %v", id, err)
	}
	_, _, err = one.Create(ctx, root, Spec{Name: "anna", Role: Viewer})
	want(t, err, weir.Conflict)
	for _, try := range []func(Identity) error{
		func(i Identity) error { _, _, err := one.Create(ctx, i, Spec{Name: "x", Role: Viewer}); return err },
		func(i Identity) error { _, err := one.List(ctx, i); return err },
		func(i Identity) error { _, err := one.Revoke(ctx, i, "other"); return err },
		func(i Identity) error { _, err := one.Revoke(ctx, Identity{}, ""); return err },
	} {
		want(t, try(id), weir.Denied)
	}
	used := func() time.Time {
		all, err := one.List(ctx, root)
		must(t, err)
		return all[0].LastUsed
	}
	first := used()
	c.at = c.at.Add(usedEvery / 2)
	_, err = two.Authenticate(ctx, secret, "")
	if must(t, err); !used().Equal(first) {
		t.Error("the last use was written twice within a minute")
	}
	c.at = c.at.Add(usedEvery)
	_, err = two.Authenticate(ctx, secret, "")
	if must(t, err); !used().Equal(c.at) {
		t.Errorf("last used %v, not %v", used(), c.at)
	}

	_, err = one.Revoke(ctx, root, "anna")
	must(t, err)
	_, err = two.Authenticate(ctx, secret, "192.0.2.1")
	want(t, err, weir.Unknown)
	_, err = one.Revoke(ctx, root, "anna")
	want(t, err, weir.NotFound)
	var actions []string
	for _, ch := range log.all {
		actions = append(actions, ch.Author+" "+ch.From+" "+ch.Action+" "+ch.Detail["name"]+" "+ch.Detail["sites"])
	}
	if !slices.Equal(actions, []string{"root 192.0.2.9 token.create anna s1", "root 192.0.2.9 token.revoke anna s1"}) {
		t.Error(actions)
	}
}

// TestSecretsAreNotInTheStoreAndNotInTheJournal looks at all that is kept of a token.
func TestSecretsAreNotInTheStoreAndNotInTheJournal(t *testing.T) {
	ctx, s, log := t.Context(), open(t), &changes{}
	a, err := New(ctx, s, log, nil)
	must(t, err)
	_, secret, err := a.Create(ctx, root, Spec{Name: "anna", Role: Owner})
	must(t, err)
	kv, err := s.KV(ctx, bucket)
	must(t, err)
	all, err := kv.List(ctx, "")
	must(t, err)
	written, err := json.Marshal(log.all)
	must(t, err)
	for _, e := range all {
		written = append(append(written, e.Key...), e.Value...)
	}
	if len(all) != 1 || strings.Contains(string(written), secret[len(secretPrefix):][:20]) {
		t.Errorf("%d entries: %s", len(all), written)
	}
	// Who reads the store has the digest, which opens nothing.
	_, err = a.Authenticate(ctx, strings.TrimPrefix(all[0].Key, "hash."), "")
	want(t, err, weir.Unknown)
}

func TestNothingChangesThatTheJournalDoesNotTake(t *testing.T) {
	ctx, log := t.Context(), &changes{}
	a, err := New(ctx, open(t), log, nil)
	must(t, err)
	_, secret, err := a.Create(ctx, root, Spec{Name: "anna", Role: Owner})
	must(t, err)
	log.fail = errors.New("full")
	if _, _, err := a.Create(ctx, root, Spec{Name: "bob", Role: Owner}); err != log.fail {
		t.Error(err)
	}
	if _, err := a.Revoke(ctx, root, "anna"); err != log.fail {
		t.Error(err)
	}
	if all, err := a.List(ctx, root); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
	_, err = a.Authenticate(ctx, secret, "")
	must(t, err)
}

// TestUseDoesNotBringBackWhatIsRevoked: the note of a last use meets a revocation.
func TestUseDoesNotBringBackWhatIsRevoked(t *testing.T) {
	ctx, s, c := t.Context(), open(t), &clock{at: time.Now()}
	a, err := New(ctx, s, &changes{}, c.now)
	must(t, err)
	token, secret, err := a.Create(ctx, root, Spec{Name: "anna", Role: Owner})
	must(t, err)
	a.kv = revokedMeanwhile{a.kv, func() { _, err := a.Revoke(ctx, root, token.ID); must(t, err) }}
	_, err = a.Authenticate(ctx, secret, "")
	must(t, err) // it counted when it was looked up
	_, err = a.Authenticate(ctx, secret, "")
	want(t, err, weir.Unknown)
	if all, err := a.List(ctx, root); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
}

// revokedMeanwhile does something between the reading and the writing of a value.
type revokedMeanwhile struct {
	store.KV
	do func()
}

func (r revokedMeanwhile) Update(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	r.do()
	return r.KV.Update(ctx, key, value, rev)
}

// away is a store that can't be reached.
type away struct{ store.KV }

func (away) Get(context.Context, string) (store.Entry, error) {
	return store.Entry{}, &weir.Error{Code: weir.Unavailable, Message: "away"}
}

func TestWhatDoesNotCount(t *testing.T) {
	ctx, c := t.Context(), &clock{at: time.Now()}
	a, err := New(ctx, open(t), &changes{}, c.now)
	must(t, err)
	_, secret, err := a.Create(ctx, root, Spec{Name: "anna", Role: Owner, Expires: c.at.Add(time.Minute)})
	must(t, err)
	c.at = c.at.Add(time.Minute)
	_, err = a.Authenticate(ctx, secret, "192.0.2.1")
	if want(t, err, weir.Unknown); !strings.Contains(err.Error(), "expired") {
		t.Error(err)
	}
	kv := a.kv
	a.kv = away{} // a typo is told without asking the store
	_, err = a.Authenticate(ctx, secret[:len(secret)-1]+"!", "192.0.2.1")
	want(t, err, weir.Unknown)
	for range 2 * clientFailures { // a store that is away is nobody's fault
		_, err = a.Authenticate(ctx, secret, "192.0.2.2")
		want(t, err, weir.Unavailable)
	}
	a.kv = kv
	for range clientFailures - 2 {
		_, err = a.Authenticate(ctx, newSecret(), "192.0.2.1")
		want(t, err, weir.Unknown)
		if strings.Contains(err.Error(), secret) {
			t.Error("the error repeats the token")
		}
	}
	_, err = a.Authenticate(ctx, newSecret(), "192.0.2.1")
	want(t, err, weir.Busy)
	_, good, err := a.Create(ctx, root, Spec{Name: "bob", Role: Owner})
	must(t, err)
	_, err = a.Authenticate(ctx, good, "192.0.2.2")
	must(t, err)
	_, err = a.Authenticate(ctx, good, "192.0.2.1") // it is known by now
	must(t, err)
}

func TestSpecs(t *testing.T) {
	now := time.Now()
	ok := Spec{Name: "anna", Role: Viewer}
	with := func(change func(*Spec)) Spec { s := ok; change(&s); return s }
	for name, s := range map[string]Spec{
		"no name":            with(func(s *Spec) { s.Name = "" }),
		"a long name":        with(func(s *Spec) { s.Name = strings.Repeat("a", maxName+1) }),
		"two lines":          with(func(s *Spec) { s.Name = "anna\n2026 denied" }),
		"a terminal driven":  with(func(s *Spec) { s.Name = "\x1b[2Janna" }),
		"a turned direction": with(func(s *Spec) { s.Name = "\u202eanna" }),
		"a space in front":   with(func(s *Spec) { s.Name = " anna" }),
		"no role":            with(func(s *Spec) { s.Role = "" }),
		"a made-up role":     with(func(s *Spec) { s.Role = "root" }),
		"a made-up kind":     with(func(s *Spec) { s.Kind = "x" }),
		"no sites":           with(func(s *Spec) { s.Sites = []string{} }),
		"an empty site":      with(func(s *Spec) { s.Sites = []string{""} }),
		"expired":            with(func(s *Spec) { s.Expires = now }),
		"deploy, no site":    with(func(s *Spec) { s.Kind, s.Role = Deployer, "" }),
		"deploy, two sites":  with(func(s *Spec) { s.Kind, s.Role, s.Sites = Deployer, "", []string{"a", "b"} }),
		"deploy, a role":     with(func(s *Spec) { s.Kind, s.Role, s.Sites = Deployer, Owner, []string{"a"} }),
	} {
		if err := s.check(now); weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []Spec{ok, with(func(s *Spec) { s.Kind, s.Role, s.Sites = Deployer, "", []string{"a"} })} {
		if err := s.check(now); err != nil {
			t.Error(err)
		}
	}
}

// TestFirstOwner: the first start makes a token for whoever can read the server's files, the second none, and a
// link that waits at its place leads the secret nowhere.
func TestFirstOwner(t *testing.T) {
	ctx, dir, c := t.Context(), t.TempDir(), &clock{at: time.Now()}
	a, err := New(ctx, open(t), &changes{}, c.now)
	must(t, err)
	_, _, err = a.Create(ctx, root, Spec{Name: "not enough", Role: Owner, Sites: []string{"s1"}})
	must(t, err)
	path, elsewhere := filepath.Join(dir, "owner.token"), filepath.Join(dir, "elsewhere")
	must(t, os.WriteFile(elsewhere, []byte("theirs"), 0o666))
	must(t, os.Symlink(elsewhere, path))
	if made, err := a.First(ctx, path); err != nil || !made {
		t.Fatal(made, err)
	}
	secret, err := os.ReadFile(path)
	must(t, err)
	if b, _ := os.ReadFile(elsewhere); string(b) != "theirs" {
		t.Error("the secret went where the link led")
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	id, err := a.Authenticate(ctx, strings.TrimSpace(string(secret)), "")
	if err != nil || !id.May(ManageTokens, "") {
		t.Error(id, err)
	}
	if made, err := a.First(ctx, path); err != nil || made {
		t.Error("another one:", made, err)
	}
	if _, err := a.Revoke(ctx, id, id.ID); err != nil {
		t.Error(err)
	}
	c.at = c.at.Add(time.Second)
	if made, err := a.First(ctx, path); err != nil || !made {
		t.Error("nobody can get in any more:", made, err)
	}
	if _, err := a.First(ctx, filepath.Join(dir, "no", "folder")); err != nil {
		t.Error("there is an owner:", err)
	}
	// All are lost: another one is made where there is no file, and no further one for who leaves it there.
	err = a.Another(ctx, path)
	if weir.ErrorCode(err) != weir.Conflict {
		t.Error("a file is there already:", err)
	}
	must(t, os.Remove(path))
	c.at = c.at.Add(time.Second)
	must(t, a.Another(ctx, path))
	secret, err = os.ReadFile(path)
	must(t, err)
	if id, err := a.Authenticate(ctx, strings.TrimSpace(string(secret)), ""); err != nil || !id.May(ManageTokens, "") {
		t.Error(id, err)
	}
	names := map[string]bool{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names[e.Name()] = true
	}
	if len(names) != 2 {
		t.Errorf("left behind: %v", slices.Sorted(maps.Keys(names)))
	}
}

// TestFirstOwnerOfSeveralServers: of those that start at once on an empty store, one makes the token; and one that was
// killed while it did keeps the others waiting for a while only.
func TestFirstOwnerOfSeveralServers(t *testing.T) {
	ctx, st, dir := t.Context(), open(t), t.TempDir()
	kv, err := st.KV(ctx, bucket)
	must(t, err)
	_, err = kv.Create(ctx, turnKey, nil)
	must(t, err)
	var made atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			a, err := New(ctx, st, &changes{}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			did, err := a.First(ctx, filepath.Join(dir, strconv.Itoa(i)))
			if err != nil {
				t.Error(err)
			}
			if did {
				made.Add(1)
			}
		})
	}
	all.Wait()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if made.Load() != 1 || len(entries) != 1 {
		t.Errorf("%d made a token, %d kept one", made.Load(), len(entries))
	}
}
