package environ

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// TestWhoWritesToTheStore: what somebody puts there who lacks the key file is never taken for a variable.
func TestWhoWritesToTheStore(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	s := w.open(t)
	kv, err := w.KV(ctx, bucket)
	must(t, err)
	must(t, s.Set(ctx, anna, plain("s1", "PASSWORD", "of the database")))
	must(t, s.Set(ctx, anna, plain("s1", "LOG_LEVEL", "debug")))
	good, err := kv.Get(ctx, "site.s1.PASSWORD")
	must(t, err)

	stranger, err := age.GenerateX25519Identity()
	must(t, err)
	scrypt, err := age.NewScryptRecipient("password")
	must(t, err)
	scrypt.SetWorkFactor(1)
	sealedBy := func(r age.Recipient) []byte {
		var out bytes.Buffer
		to, err := age.Encrypt(&out, r)
		must(t, err)
		_, err = to.Write([]byte(`{"at":"site.s1.LOG_LEVEL","variable":{"key":"LOG_LEVEL","values":[{"context":"all","value":"x"}],"scopes":["functions"]}}`))
		must(t, err)
		must(t, to.Close())
		return out.Bytes()
	}
	flipped := bytes.Clone(good.Value)
	flipped[len(flipped)-1] ^= 1
	for name, value := range map[string][]byte{
		"a variable in the place of another": good.Value,
		"plain text":                         []byte(`{"at":"site.s1.LOG_LEVEL","variable":{"key":"LOG_LEVEL","values":[{"context":"all","value":"x"}]}}`),
		"nothing":                            nil,
		"cut off":                            good.Value[:len(good.Value)-1],
		"a bit flipped":                      flipped,
		"another key":                        sealedBy(stranger.Recipient()),
		"a password":                         sealedBy(scrypt),
	} {
		_, err := kv.Put(ctx, "site.s1.LOG_LEVEL", value)
		must(t, err)
		got, err := s.Resolve(ctx, Query{Site: "s1"})
		if weir.ErrorCode(err) != weir.Internal || got != nil || strings.Contains(err.Error(), "database") {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	for _, elsewhere := range []string{"site.s2.PASSWORD", "account.PASSWORD", "deploy.s1.PASSWORD"} {
		_, err := kv.Put(ctx, elsewhere, good.Value)
		must(t, err)
		_, err = s.Resolve(ctx, Query{Site: "s2", Deploy: "s1"})
		want(t, err, weir.Internal)
		must(t, kv.Delete(ctx, elsewhere, 0))
	}
	must(t, s.Delete(ctx, anna, "s1", "LOG_LEVEL")) // as the error says
	must(t, s.Set(ctx, anna, plain("s1", "LOG_LEVEL", "info")))
	if env, err := s.Resolve(ctx, Query{Site: "s1"}); err != nil || env["LOG_LEVEL"] != "info" {
		t.Error(env, err)
	}
}

// newKey gives a line of a key file.
func newKey(t testing.TB) string {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return k.String() + "\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestKeysAreRotated(t *testing.T) {
	ctx, w, dir := t.Context(), newWorld(t), t.TempDir()
	path := filepath.Join(dir, "keys")
	open := func(text string) (*Service, error) {
		write(t, path, text)
		return Open(ctx, Options{Store: w, Changes: w, KeyFile: path})
	}
	old, next := newKey(t), newKey(t)
	s, err := open(old)
	must(t, err)
	for _, key := range []string{"A", "B", "C"} {
		must(t, s.Set(ctx, anna, plain("s1", key, "value")))
	}
	_, err = open(next)
	want(t, err, weir.Invalid)
	both, err := open("# new\n" + next + "\n# old\n" + old)
	must(t, err)
	must(t, both.Set(ctx, anna, plain("s1", "C", "new value")))

	// Somebody sets a variable with the old key while it is sealed anew.
	both.kv = &interfering{KV: both.kv, do: func() { must(t, s.Set(ctx, anna, plain("s1", "A", "late"))) }}
	n, err := both.Rotate(ctx, anna)
	if must(t, err); n != 2 { // A and B
		t.Errorf("%d sealed anew", n)
	}
	if n, err := both.Rotate(ctx, anna); err != nil || n != 0 {
		t.Errorf("again: %d %v", n, err)
	}
	s, err = open(next)
	must(t, err)
	if env, err := s.Resolve(ctx, Query{Site: "s1"}); err != nil || env["A"] != "late" || env["B"] != "value" || env["C"] != "new value" {
		t.Error(env, err)
	}
	_, err = open(old)
	want(t, err, weir.Invalid)
}

// TestVariablesWhoseKeyIsLost are forgotten if somebody says so, and only then.
func TestVariablesWhoseKeyIsLost(t *testing.T) {
	ctx, w, dir := t.Context(), newWorld(t), t.TempDir()
	o := Options{Store: w, Changes: w, StateDir: dir}
	s, err := Open(ctx, o)
	must(t, err)
	must(t, s.Set(ctx, anna, plain("s1", "A", "value")))
	must(t, s.SetDeployVariables(ctx, anna, "d1", []Variable{plain("s1", "B", "value")}))
	o.Forget = true
	_, err = Open(ctx, o)
	want(t, err, weir.Invalid)

	path := filepath.Join(dir, KeyFile)
	kept, err := os.ReadFile(path)
	must(t, err)
	write(t, path, "not a key")
	_, err = Open(ctx, o)
	want(t, err, weir.Invalid)
	must(t, os.Remove(path))
	elsewhere := o
	elsewhere.KeyFile = filepath.Join(dir, "elsewhere") // which is never made
	_, err = Open(ctx, elsewhere)
	want(t, err, weir.Invalid)
	o.Forget = false
	_, err = Open(ctx, o)
	want(t, err, weir.Invalid)
	write(t, path, string(kept))
	s, err = Open(ctx, o)
	must(t, err)
	if env, err := s.Resolve(ctx, Query{Site: "s1", Deploy: "d1"}); err != nil || len(env) != 2 {
		t.Errorf("variables are gone whose key is there: %v %v", env, err)
	}

	must(t, os.Remove(path))
	o.Forget = true
	s, err = Open(ctx, o)
	must(t, err)
	if env, err := s.Resolve(ctx, Query{Site: "s1", Deploy: "d1"}); err != nil || len(env) != 0 {
		t.Error(env, err)
	}
	must(t, s.Set(ctx, anna, plain("s1", "A", "new")))
	o.Forget = false
	s, err = Open(ctx, o)
	must(t, err)
	if env, err := s.Resolve(ctx, Query{Site: "s1"}); err != nil || env["A"] != "new" {
		t.Error(env, err)
	}
}

// failing keeps some values from being changed or removed.
type failing struct {
	store.KV
	fails func(key string) bool
}

func (f failing) Update(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if f.fails(key) {
		return 0, errors.New("the server ends")
	}
	return f.KV.Update(ctx, key, value, rev)
}

func (f failing) Delete(ctx context.Context, key string, rev uint64) error {
	if f.fails(key) {
		return errors.New("the server ends")
	}
	return f.KV.Delete(ctx, key, rev)
}

// stopped is a world in which each change of a variable but that of some fails.
type stopped struct {
	*world
	fails func(key string) bool
}

func (s stopped) KV(ctx context.Context, bucket string) (store.KV, error) {
	kv, err := s.world.KV(ctx, bucket)
	return failing{kv, s.fails}, err
}

// TestForgettingIsBegunAgain: a server that is killed while it forgets variables leaves none that no key opens, of which
// nobody could say that they are lost.
func TestForgettingIsBegunAgain(t *testing.T) {
	ctx, w, dir := t.Context(), newWorld(t), t.TempDir()
	o := Options{Store: w, Changes: w, StateDir: dir}
	s, err := Open(ctx, o)
	must(t, err)
	must(t, s.Set(ctx, anna, plain("s1", "A", "value")))
	must(t, os.Remove(filepath.Join(dir, KeyFile)))
	o.Forget, o.Store = true, stopped{w, func(key string) bool { return strings.HasSuffix(key, ".A") }}
	if _, err := Open(ctx, o); err == nil {
		t.Fatal("nothing failed")
	}
	o.Store = w
	s, err = Open(ctx, o)
	must(t, err)
	if env, err := s.Resolve(ctx, Query{Site: "s1"}); err != nil || len(env) != 0 {
		t.Error(env, err)
	}
}

// TestRotatingHalfway: where some variables could not be sealed anew, no server starts that can't open them.
func TestRotatingHalfway(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	s := w.open(t)
	must(t, s.Set(ctx, anna, plain("s1", "A", "value")))
	path := filepath.Join(w.dir, KeyFile)
	old, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	must(t, makeKeys(path))
	fresh, err := os.ReadFile(path)
	must(t, err)
	write(t, path, string(fresh)+string(old))
	half, err := Open(ctx, Options{Store: stopped{w, func(key string) bool { return strings.HasSuffix(key, ".A") }}, Changes: w, StateDir: w.dir})
	must(t, err)
	if _, err := half.Rotate(ctx, anna); err == nil {
		t.Fatal("nothing failed")
	}
	write(t, path, string(fresh))
	_, err = Open(ctx, Options{Store: w, Changes: w, StateDir: w.dir})
	want(t, err, weir.Invalid)
}

// interfering does something before the first update of A.
type interfering struct {
	store.KV
	do func()
}

func (i *interfering) Update(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if do := i.do; do != nil && strings.HasSuffix(key, ".A") {
		i.do = nil
		do()
	}
	return i.KV.Update(ctx, key, value, rev)
}

// TestAKeyIsMadeOnceForAStore: a server that lost its key file, or never had that of the others, says so, instead of
// making one that opens nothing.
func TestAKeyIsMadeOnceForAStore(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	w.open(t)
	path := filepath.Join(w.dir, KeyFile)
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info, err)
	}
	key, err := os.ReadFile(path)
	must(t, err)
	w.open(t)
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, key) {
		t.Error("the key was made anew:", err)
	}
	other := t.TempDir()
	_, err = Open(ctx, Options{Store: w, Changes: w, StateDir: other})
	want(t, err, weir.Invalid)
	if left, err := os.ReadDir(other); err != nil || len(left) != 0 {
		t.Error("a key was made:", left, err)
	}
	write(t, filepath.Join(other, KeyFile), newKey(t))
	_, err = Open(ctx, Options{Store: w, Changes: w, StateDir: other})
	want(t, err, weir.Invalid)
	_, err = Open(ctx, Options{Store: newWorld(t), KeyFile: filepath.Join(other, "none")}) // a path that somebody wrote wrong
	want(t, err, weir.Invalid)
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, mode := range map[string]os.FileMode{"group": 0o640, "others": 0o604, "written by others": 0o602} {
		write(t, at(name), key)
		must(t, os.Chmod(at(name), mode))
	}
	must(t, syscall.Mkfifo(at("a fifo"), 0o600))
	must(t, os.Symlink("others", at("a link to what others read")))
	must(t, os.Mkdir(at("a folder"), 0o700))
	write(t, at("endless"), strings.Repeat("#\n", maxKeyFile))
	write(t, at("empty"), "# nothing\n\n")
	write(t, at("many"), strings.Repeat(key, maxKeys+1))
	write(t, at("half a key"), key[:len(key)-5])
	write(t, at("public"), "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n")
	if os.Geteuid() == 0 {
		write(t, at("somebody else's"), key)
		must(t, os.Chown(at("somebody else's"), 4242, 0))
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		_, err := readKeys(at(e.Name()))
		if weir.ErrorCode(err) != weir.Invalid || strings.Contains(err.Error(), key[20:30]) {
			t.Errorf("%s: %v", e.Name(), err)
		}
	}
	write(t, at("good"), "# two\r\n"+key+"\r\n"+newKey(t))
	must(t, os.Symlink("good", at("a link to it"))) // as secrets are mounted
	if ks, err := readKeys(at("a link to it")); err != nil || len(ks) != 2 {
		t.Error(len(ks), err)
	}
}

// FuzzKeyFile: no text makes it fail other than with an error of the right class, which repeats no line.
func FuzzKeyFile(f *testing.F) {
	key := newKey(f)
	for _, s := range []string{key, "# x\n" + key, key[:20], strings.ToLower(key), "AGE-SECRET-KEY-PQ-1", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ks, err := parseKeys(text, "keys")
		if (err == nil) != (len(ks) > 0) || err != nil && weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("%d keys: %v", len(ks), err)
		}
		if err == nil {
			return
		}
		lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
		if slices.ContainsFunc(lines, func(l string) bool { return len(l) > 30 && strings.Contains(err.Error(), l[:30]) }) {
			t.Errorf("the error repeats the file: %v", err)
		}
	})
}

// FuzzOpen: nothing but what was sealed for a place opens there.
func FuzzOpen(f *testing.F) {
	ks, err := parseKeys(newKey(f), "keys")
	if err != nil {
		f.Fatal(err)
	}
	good, err := ks.seal("site.s1.A", Variable{Key: "A"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, "site.s1.A")
	f.Add(good, "site.s1.B")
	f.Add(good[:60], "site.s1.A")
	f.Fuzz(func(t *testing.T, value []byte, at string) {
		_, err := ks.open(store.Entry{Key: at, Value: value})
		if opens := at == "site.s1.A" && bytes.Equal(value, good); (err == nil) != opens {
			t.Errorf("%v at %q", err, at)
		}
	})
}
