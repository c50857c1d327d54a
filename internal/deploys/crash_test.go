package deploys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

var errDead = errors.New("the server is dead")

// mortal is a server's way to the store until the server dies: after so many writes nothing gets through any more. Of
// the last write, it does not hear that it was done.
type mortal struct {
	store.Store
	left *atomic.Int64
}

func (m mortal) KV(ctx context.Context, bucket string) (store.KV, error) {
	kv, err := m.Store.KV(ctx, bucket)
	return mortalKV{kv, m.left}, err
}

func (m mortal) Blobs() store.Blobs { return mortalBlobs{m.Store.Blobs(), m.left} }

type mortalKV struct {
	store.KV
	left *atomic.Int64
}

type mortalBlobs struct {
	store.Blobs
	left *atomic.Int64
}

// last does a write, unless the server is dead. The last one's answer is lost.
func last[T any](left *atomic.Int64, write func() (T, error)) (none T, _ error) {
	n := left.Add(-1)
	if n < 0 {
		return none, errDead
	}
	v, err := write()
	if n == 0 {
		return none, errDead
	}
	return v, err
}

func (k mortalKV) Get(ctx context.Context, key string) (store.Entry, error) {
	if k.left.Load() <= 0 {
		return store.Entry{}, errDead
	}
	return k.KV.Get(ctx, key)
}

func (k mortalKV) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return last(k.left, func() (uint64, error) { return k.KV.Create(ctx, key, value) })
}

func (k mortalKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return last(k.left, func() (uint64, error) { return k.KV.Update(ctx, key, value, revision) })
}

func (k mortalKV) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return last(k.left, func() (uint64, error) { return k.KV.Put(ctx, key, value) })
}

func (k mortalKV) Delete(ctx context.Context, key string, revision uint64) error {
	_, err := last(k.left, func() (int, error) { return 0, k.KV.Delete(ctx, key, revision) })
	return err
}

func (b mortalBlobs) Put(ctx context.Context, r io.Reader, want string) (store.Blob, error) {
	return last(b.left, func() (store.Blob, error) { return b.Blobs.Put(ctx, r, want) })
}

// client deploys a folder by way of a server, and goes on with another one if that dies.
func (files folder) client(t *testing.T, a Author, site string, dying, other *Service) (id string) {
	s := dying
	try := func(do func() error) {
		t.Helper()
		err := do()
		if err != nil && s == dying {
			s = other
			err = do()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	try(func() error {
		d, err := s.Begin(t.Context(), a, site, BeginOptions{})
		id = d.ID
		return err
	})
	try(func() error {
		_, _, err := s.Declare(t.Context(), a, id, files.declaration())
		return err
	})
	for path, text := range files {
		try(func() error {
			if name, ok := strings.CutPrefix(path, "functions/"); ok {
				return s.UploadFunction(t.Context(), a, id, name, FunctionUpload{}, strings.NewReader(text))
			}
			return s.UploadFile(t.Context(), a, id, path, strings.NewReader(text))
		})
	}
	dying.workOff(t.Context())
	return id
}

// TestAServerDiesAfterAnyWrite: the client goes on with another server, which also ends what the first one had begun.
func TestAServerDiesAfterAnyWrite(t *testing.T) {
	st, f := newStore(t), &fake{}
	other := newServer(t, st, f, Options{})
	for writes := int64(1); ; writes++ {
		site := newSite(t, other)
		left := &atomic.Int64{}
		left.Store(1 << 30)
		dying := newServer(t, mortal{st, left}, f, Options{})
		left.Store(writes)
		files := folder{"index.html": fmt.Sprint("page ", writes), "rules": "a.example", "functions/f": "f"}
		id := files.client(t, approver, site.ID, dying, other)
		f.advance(leaseTime + idleTime)
		other.look(t.Context())
		other.workOff(t.Context())
		d, now := state(t, other, id), reread(t, other, site)
		if d.State != weir.DeployReady || d.Review != weir.ReviewApproved || now.Published != id || now.Approved != id {
			t.Fatalf("dead after %d writes: got %+v %+v", writes, d, now)
		}
		if m, err := other.Manifest(t.Context(), id); err != nil || m.Files["index.html"].SHA256 != sha256of(files["index.html"]) {
			t.Fatalf("dead after %d writes: got %+v %v", writes, m, err)
		}
		if left.Load() > 0 {
			break
		}
	}
	f.advance(2 * uploadTime)
	other.look(t.Context())
	other.workOff(t.Context())
	collect(t, other)
	if keys, err := other.uploads.Keys(t.Context(), ""); err != nil || len(keys) > 0 {
		t.Errorf("left over: %v %v", keys, err)
	}
}

// TestAServerDiesOverAChange: it is made, or not, and can be made again; what was acknowledged is there.
func TestAServerDiesOverAChange(t *testing.T) {
	st, f := newStore(t), &fake{}
	other := newServer(t, st, f, Options{Keep: Keep{Ready: 1, Age: 1}})
	for name, change := range map[string]func(s *Service, site weir.Site, old, held string) error{
		"publish": func(s *Service, _ weir.Site, old, _ string) error {
			_, err := s.Publish(t.Context(), approver, old)
			return err
		},
		"approve": func(s *Service, _ weir.Site, _, held string) error {
			_, err := s.Approve(t.Context(), approver, held, "")
			return err
		},
		"remove": func(s *Service, _ weir.Site, _, held string) error { return s.DeleteDeploy(t.Context(), dev, held) },
		"delete": func(s *Service, site weir.Site, _, _ string) error { return s.DeleteSite(t.Context(), dev, site.ID) },
		"rename": func(s *Service, site weir.Site, _, _ string) error {
			name, domains := "n"+site.Name, []string{site.Name + ".example"}
			_, err := s.UpdateSite(t.Context(), dev, site.ID, SiteChange{Name: &name, Domains: &domains})
			return err
		},
	} {
		for writes := int64(1); ; writes++ {
			site := newSite(t, other)
			var old, held string
			switch name {
			case "publish":
				old = page(1).deploy(t, other, dev, site.ID, BeginOptions{}).ID
				page(2).deploy(t, other, dev, site.ID, BeginOptions{})
			case "approve", "remove", "delete":
				held = with("a.example").deploy(t, other, dev, site.ID, BeginOptions{}).ID
			}
			left := &atomic.Int64{}
			left.Store(1 << 30)
			dying := newServer(t, mortal{st, left}, f, Options{})
			left.Store(writes)
			if err := change(dying, site, old, held); err != nil {
				err = change(other, site, old, held)
				if err != nil && !(weir.ErrorCode(err) == weir.NotFound && (name == "remove" || name == "delete")) {
					t.Fatalf("%s, dead after %d writes, done again: %v", name, writes, err)
				}
			}
			outcome(t, other, name, site, old, held)
			if left.Load() > 0 {
				break
			}
		}
	}
	f.advance(uploadTime)
	collect(t, other)
	keys, err := other.deploys.Keys(t.Context(), "deploy")
	if err != nil || len(keys) == 0 {
		t.Fatal(err)
	}
	for _, key := range keys {
		if _, err := other.Site(t.Context(), strings.Split(key, ".")[1]); err != nil {
			t.Errorf("%s is left over: %v", key, err)
		}
	}
}

// outcome fails if a change was not made.
func outcome(t *testing.T, s *Service, name string, before weir.Site, old, held string) {
	t.Helper()
	now, err := s.Site(t.Context(), before.ID)
	switch name {
	case "publish":
		if now.Published != old {
			t.Errorf("got %+v %v", now, err)
		}
	case "approve":
		if d := state(t, s, held); now.Published != held || now.Approved != held || d.Review != weir.ReviewApproved {
			t.Errorf("got %+v %+v %v", now, d, err)
		}
	case "remove":
		_, err := s.Deploy(t.Context(), held)
		expect(t, "the deploy", err, weir.NotFound)
	case "delete":
		expect(t, "the site", err, weir.NotFound)
	case "rename":
		for _, ref := range []string{"n" + before.Name, before.Name + ".example"} {
			if got, err := s.Site(t.Context(), ref); err != nil || got.ID != before.ID {
				t.Errorf("%s: got %+v %v", ref, got, err)
			}
		}
	}
}
