package deploys

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// hookedStore does something else after each blob that is put.
type hookedStore struct {
	store.Store
	after func(store.Blob)
}

type hookedBlobs struct {
	store.Blobs
	s *hookedStore
}

func (h *hookedStore) Blobs() store.Blobs { return hookedBlobs{h.Store.Blobs(), h} }

func (b hookedBlobs) Put(ctx context.Context, r io.Reader, want string) (store.Blob, error) {
	blob, err := b.Blobs.Put(ctx, r, want)
	if after := b.s.after; after != nil && err == nil {
		after(blob)
	}
	return blob, err
}

// strict keeps no more than it must, and looks at every blob at once.
func strict(t testing.TB, st store.Store, f *fake) *Service {
	s := newServer(t, st, f, Options{Keep: Keep{Ready: 1, Age: time.Nanosecond}})
	s.grace = 0
	return s
}

func collect(t testing.TB, s *Service) {
	t.Helper()
	if err := s.Collect(t.Context()); err != nil {
		t.Error(err)
	}
}

func (s *Service) hasBlob(t testing.TB, text string) bool {
	t.Helper()
	_, err := s.blobs.Stat(t.Context(), sha256of(text))
	if err != nil && weir.ErrorCode(err) != weir.NotFound {
		t.Fatal(err)
	}
	return err == nil
}

func TestWhatIsKept(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{Keep: Keep{Ready: 2, Age: time.Hour}})
	s.grace = 0
	site := newSite(t, s)
	n := 0
	deploy := func(a Author, o BeginOptions, hosts ...string) string {
		n++
		files := with(hosts...)
		files["index.html"] = fmt.Sprint("page ", n)
		return files.deploy(t, s, a, site.ID, o).ID
	}
	wide := deploy(approver, BeginOptions{}, "a.example", "b.example")
	held := deploy(dev, BeginOptions{}, "c.example") // 2: runs with what wide may do as well
	approved := deploy(approver, BeginOptions{Draft: true}, "a.example", "d.example")
	alias := deploy(dev, BeginOptions{Alias: "pr"})
	old := deploy(dev, BeginOptions{Draft: true}) // 5
	previous := deploy(dev, BeginOptions{})
	published := deploy(dev, BeginOptions{})
	failed, _ := page(8).begin(t, s, dev, site.ID, BeginOptions{})
	if _, err := s.Cancel(t.Context(), dev, failed); err != nil {
		t.Fatal(err)
	}
	latest := []string{deploy(dev, BeginOptions{Draft: true}), deploy(dev, BeginOptions{Draft: true})}
	open, m := page(99).begin(t, s, dev, site.ID, BeginOptions{})
	page(99).upload(t, dev, open, m, s)
	s.skipNext()

	collect(t, s) // nothing is old enough
	if all, err := s.Deploys(t.Context(), site.ID, Filter{}); err != nil || len(all) != 11 {
		t.Fatalf("%d deploys, %v", len(all), err)
	}
	f.advance(2 * time.Hour)
	collect(t, s)
	for name, id := range map[string]string{"approved": approved, "alias": alias, "previous": previous, "published": published, "latest": latest[0], "the one before": latest[1], "open": open} {
		if _, err := s.Deploy(t.Context(), id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, id := range map[string]string{"held": held, "old": old, "failed": failed} {
		_, err := s.Deploy(t.Context(), id)
		expect(t, name, err, weir.NotFound)
	}
	if _, err := s.Deploy(t.Context(), wide); err != nil {
		t.Errorf("what a held deploy needs: %v", err)
	}
	if s.hasBlob(t, "page 5") || s.hasBlob(t, "page 2") || !s.hasBlob(t, "page 7") || !s.hasBlob(t, "page 99") {
		t.Error("the wrong contents were removed")
	}
	collect(t, s)
	_, err := s.Deploy(t.Context(), wide)
	expect(t, "which nobody needs now", err, weir.NotFound)
	s.look(t.Context())
	s.workOff(t.Context())
	if d := state(t, s, open); d.State != weir.DeployReady {
		t.Errorf("got %+v", d)
	}
	for _, id := range []string{reread(t, s, site).Published, approved} {
		expect(t, "deleting what is needed", s.DeleteDeploy(t.Context(), dev, id), weir.Conflict)
	}
	if err := s.DeleteDeploy(t.Context(), dev, alias); err != nil || len(reread(t, s, site).Aliases) != 0 {
		t.Errorf("its alias goes with it: %v", err)
	}
}

// threePages deploys three pages; the first one is about to be removed.
func threePages(t *testing.T, s *Service) (site weir.Site, first string) {
	site = newSite(t, s)
	for i := range 3 {
		d := page(i).deploy(t, s, dev, site.ID, BeginOptions{})
		if i == 0 {
			first = d.ID
		}
	}
	return site, first
}

// TestRemovedAfterItWasFoundToBeThere: a client must not be told that what is being removed needs no upload.
func TestRemovedAfterItWasFoundToBeThere(t *testing.T) {
	st, f := newStore(t), &fake{}
	a, b := strict(t, st, f), strict(t, st, f)
	site, _ := threePages(t, a)
	f.advance(time.Hour)
	a.hook = func(point string) {
		if point == "looked up" {
			a.hook = func(string) {}
			collect(t, b)
		}
	}
	id, m := page(0).begin(t, a, dev, site.ID, BeginOptions{})
	if b.hasBlob(t, "page 0") || len(m.Files) != 1 {
		t.Errorf("there: %t, missing: %+v", b.hasBlob(t, "page 0"), m)
	}
	page(0).upload(t, dev, id, m, a)
	a.workOff(t.Context())
	if d := state(t, a, id); d.State != weir.DeployReady || !a.hasBlob(t, "page 0") {
		t.Errorf("got %+v", d)
	}
}

// TestNobodyRefersToAnythingDuringASweep: it waits until the sweep has ended.
func TestNobodyRefersToAnythingDuringASweep(t *testing.T) {
	st, f := newStore(t), &fake{}
	a, b := strict(t, st, f), strict(t, st, f)
	site, first := threePages(t, a)
	f.advance(time.Hour)
	if err := b.remove(t.Context(), site.ID, []string{first}); err != nil {
		t.Fatal(err)
	}
	waiting, told := make(chan bool, 100), make(chan Missing, 1)
	a.hook = func(point string) { waiting <- point == "waiting" }
	b.hook = func(point string) {
		if point != "marked" {
			return
		}
		b.hook = func(string) {}
		go func() {
			defer close(told)
			_, m := page(0).begin(t, a, dev, site.ID, BeginOptions{})
			told <- m
		}()
		if !<-waiting {
			t.Error("it did not wait")
		}
	}
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case <-waiting:
			continue
		case m := <-told:
			if len(m.Files) != 1 {
				t.Errorf("missing: %+v", m)
			}
		}
		break
	}
}

// TestSweptBeforeItWasReferredTo: a content that nobody refers to yet is removed; who sent it hears of it, and what the
// server writes itself it writes again.
func TestSweptBeforeItWasReferredTo(t *testing.T) {
	f := &fake{}
	h := &hookedStore{Store: newStore(t)}
	a, b := strict(t, h, f), strict(t, h.Store, f)
	site := newSite(t, a)
	id, m := page(0).begin(t, a, dev, site.ID, BeginOptions{})
	f.advance(time.Hour)
	once := func(store.Blob) {
		h.after = nil
		collect(t, b)
	}
	upload := func() error {
		return a.UploadFile(t.Context(), dev, id, "index.html", strings.NewReader("page 0"))
	}
	h.after = once
	expect(t, "swept", upload(), weir.Unavailable)
	if now, err := a.Missing(t.Context(), id); err != nil || len(now.Files) != 1 || a.hasBlob(t, "page 0") {
		t.Errorf("missing: %+v, was %+v: %v", now, m, err)
	}
	if err := upload(); err != nil {
		t.Fatal(err)
	}
	h.after = once // of the policies
	a.workOff(t.Context())
	manifest, err := a.Manifest(t.Context(), id)
	if err != nil || len(manifest.Files) != 1 || h.after != nil {
		t.Errorf("got %+v %v", manifest, err)
	}
	if _, err := a.Policies(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// TestNothingLeadsToWhatIsBeingRemoved, whoever is first.
func TestNothingLeadsToWhatIsBeingRemoved(t *testing.T) {
	st, f := newStore(t), &fake{}
	a, b := strict(t, st, f), strict(t, st, f)
	site, first := threePages(t, a)
	f.advance(time.Hour)
	publish := func() error { _, err := a.Publish(t.Context(), dev, first); return err }
	b.hook = func(point string) {
		if point == "removing" {
			expect(t, "published while it is removed", publish(), weir.NotFound)
			_, err := a.Approve(t.Context(), approver, first, "")
			expect(t, "approved while it is removed", err, weir.NotFound)
		}
	}
	collect(t, b)
	expect(t, "published when it is gone", publish(), weir.NotFound)

	b.hook = func(string) {}
	site, first = threePages(t, a)
	f.advance(time.Hour)
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	if err := b.remove(t.Context(), site.ID, []string{first}); err != nil {
		t.Fatal(err)
	}
	if now := reread(t, a, site); now.Published != first || state(t, a, first).State != weir.DeployReady {
		t.Errorf("what was published just before was removed: %+v", now)
	}
}

// TestWhatServersHaveLeft is removed by another one.
func TestWhatServersHaveLeft(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := strict(t, st, f)
	ctx := t.Context()
	site, first := threePages(t, s)
	gone := newSite(t, s)
	orphan := page(7).deploy(t, s, dev, gone.ID, BeginOptions{})
	must := func(_ uint64, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.uploads.Create(ctx, active{site: site.ID, id: s.newDeployID()}.key(), []byte("{}"))) // begun, no more
	must(s.uploads.Create(ctx, "received."+first+"."+sha1of("x"), encode(received{SHA256: sha256of("x")})))
	must(s.deploys.Create(ctx, "id."+s.newDeployID(), encode(site.ID)))
	must(0, s.sites.Delete(ctx, "site."+gone.ID, 0)) // a site that was being deleted
	_, err := s.updateSite(ctx, site.ID, func(r *siteRecord) error { r.Removing = []string{first}; return nil })
	must(0, err)
	must(s.gc.Put(ctx, "state", encode(sweepState{Epoch: 5, Sweeping: true, Until: f.clock().Add(sweepTime)})))
	f.advance(time.Hour)
	s.look(ctx)
	s.workOff(ctx)
	collect(t, s)
	for bucket, want := range map[store.KV]int{s.uploads: 0, s.deploys: 2 * 2} {
		if keys, err := bucket.Keys(ctx, ""); err != nil || len(keys) != want {
			t.Errorf("%v, want %d: %v", keys, want, err)
		}
	}
	_, err = s.Deploy(ctx, orphan.ID)
	expect(t, "a deploy without a site", err, weir.NotFound)
	if r, _, err := s.readSite(ctx, site.ID); err != nil || len(r.Removing) != 0 || s.hasBlob(t, "page 7") || s.hasBlob(t, "page 0") {
		t.Errorf("got %+v %v", r, err)
	}
}

// TestSweepsUnderLoad: however deploys and sweeps meet, a deploy that is ready has all its contents.
func TestSweepsUnderLoad(t *testing.T) {
	st, f := newStore(t), &fake{}
	a, b := strict(t, st, f), strict(t, st, f)
	site := newSite(t, a)
	f.advance(time.Hour)
	var clients, sweeper sync.WaitGroup
	done := make(chan struct{})
	sweeper.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				f.advance(time.Second)
				// One that meets a reference that is just being written anew gives up.
				if err := b.Collect(t.Context()); err != nil && weir.ErrorCode(err) != weir.NotFound {
					t.Error(err)
				}
			}
		}
	})
	for c := range 3 {
		clients.Go(func() {
			for i := range 3 {
				files := folder{"shared.txt": "shared", fmt.Sprint(c): fmt.Sprint("client ", c), "page": fmt.Sprint("page ", (i+c)%3), "functions/f": fmt.Sprint("f", i%2)}
				persist(t, a, site.ID, files)
			}
		})
	}
	clients.Wait()
	close(done)
	sweeper.Wait()
	a.look(t.Context())
	a.workOff(t.Context())
	all, err := a.Deploys(t.Context(), site.ID, Filter{State: weir.DeployReady})
	if err != nil || len(all) == 0 || reread(t, a, site).Published != all[0].ID {
		t.Fatalf("%d ready, %v", len(all), err)
	}
	for _, d := range all {
		m, err := a.Manifest(t.Context(), d.ID)
		if err != nil {
			t.Error(err)
		}
		for path, file := range m.Files {
			if _, err := a.blobs.Stat(t.Context(), file.SHA256); err != nil {
				t.Errorf("%s of %s: %v", path, d.ID, err)
			}
		}
	}
}

// persist deploys like a client that sends again what could not be kept.
func persist(t *testing.T, s *Service, site string, files folder) {
	d, err := s.Begin(t.Context(), dev, site, BeginOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	id := d.ID
	m, _, err := s.Declare(t.Context(), dev, id, files.declaration())
	// A deploy may be ready, and be removed, before its client has heard of it: then there is no such deploy.
	failed := func(err error) {
		if _, gone := s.Deploy(t.Context(), id); weir.ErrorCode(gone) != weir.NotFound {
			t.Error(err)
		}
	}
	if err != nil {
		failed(err)
		return
	}
	for len(m.Files)+len(m.Functions) > 0 {
		var err error
		for path, text := range files {
			if name, ok := strings.CutPrefix(path, "functions/"); ok {
				err = s.UploadFunction(t.Context(), dev, id, name, FunctionUpload{}, strings.NewReader(text))
			} else {
				err = s.UploadFile(t.Context(), dev, id, path, strings.NewReader(text))
			}
			if err != nil && weir.ErrorCode(err) != weir.Unavailable {
				failed(err)
				return
			}
		}
		if m, err = s.Missing(t.Context(), id); err != nil {
			failed(err)
			return
		}
	}
	s.workOff(t.Context())
}

// TestUploadIsSafeFromAWrongClock: a server whose clock is hours ahead does not take an upload that is under way for one
// that was left long ago.
func TestUploadIsSafeFromAWrongClock(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := strict(t, st, f)
	newSite(t, s)
	f.advance(3 * time.Hour)
	const begun = 3 << 20
	text := strings.Repeat("x", 2*begun)
	reached, goOn := make(chan struct{}), make(chan struct{})
	rest := strings.NewReader(text[begun:])
	upload := io.MultiReader(strings.NewReader(text[:begun]), readerFunc(func(p []byte) (int, error) {
		if reached != nil {
			close(reached)
			<-goOn
			reached = nil
		}
		return rest.Read(p)
	}))
	put := make(chan error)
	go func() {
		_, err := s.blobs.Put(t.Context(), upload, sha256of(text))
		put <- err
	}()
	<-reached
	collect(t, s)
	close(goOn)
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	r, _, err := s.blobs.Open(t.Context(), sha256of(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != text {
		t.Errorf("%d bytes of %d are there: %v", len(got), len(text), err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
