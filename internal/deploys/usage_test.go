package deploys

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// TestRoomOfASite: one site can't fill the store, neither with what it keeps nor with what it uploads in vain; what it
// removes makes room, and what is there already takes none.
func TestRoomOfASite(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := strict(t, st, f)
	s.o.Limits.Site = 3 << 20
	site, other := newSite(t, s), newSite(t, s)
	large := func(i int) folder { return folder{"large": strings.Repeat(fmt.Sprint(i), 1<<20)} }
	kept := []weir.Deploy{large(1).deploy(t, s, dev, site.ID, BeginOptions{Alias: "a"}), large(2).deploy(t, s, dev, site.ID, BeginOptions{Alias: "b"})}
	upload := func(i int, site weir.Site) error {
		id, m := large(i).begin(t, s, dev, site.ID, BeginOptions{Alias: "c"})
		if len(m.Files) == 0 {
			return nil
		}
		err := s.UploadFile(t.Context(), dev, id, "large", strings.NewReader(large(i)["large"]))
		s.workOff(t.Context())
		return err
	}
	expect(t, "a third content", upload(3, site), weir.Invalid)
	if err := upload(3, other); err != nil {
		t.Error("another site:", err)
	}
	if err := upload(1, site); err != nil {
		t.Error("what is there:", err)
	}
	for range 3 { // what is not kept counts as little as what is refused
		collect(t, s)
		expect(t, "a third content", upload(3, site), weir.Invalid)
	}
	if err := s.DeleteDeploy(t.Context(), dev, kept[1].ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.collect:
	default:
		t.Error("a removal makes nobody collect")
	}
	collect(t, s)
	if err := upload(3, site); err != nil {
		t.Error("after a removal:", err)
	}
}

// TestUploadedInVain: contents of a deploy that is cancelled, or that has too much, count until they are removed.
func TestUploadedInVain(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{Limits: Limits{Site: 3 << 20, Deploy: 1 << 20}})
	site := newSite(t, s)
	for i := range 20 {
		files := folder{}
		for n := range 4 {
			files[fmt.Sprint(n)] = strings.Repeat(fmt.Sprintf("%07d,", 4*i+n), 1<<16)
		}
		d, err := s.Begin(t.Context(), dev, site.ID, BeginOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Declare(t.Context(), dev, d.ID, files.declaration()); err != nil {
			break
		}
		for name, text := range files {
			s.UploadFile(t.Context(), dev, d.ID, name, strings.NewReader(text))
		}
		if _, err := s.Cancel(t.Context(), dev, d.ID); err != nil {
			t.Fatal(err)
		}
	}
	var there int64
	if err := s.blobs.List(t.Context(), func(b store.Blob) error { there += b.Size; return nil }); err != nil || there < 1<<20 || there > 3<<20 {
		t.Errorf("%d KB are in the store: %v", there>>10, err)
	}
}

// TestTooManyDeploys: what a site may have no more of is refused, whatever became of it; of what failed, only the latest
// stay.
func TestTooManyDeploys(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{Limits: Limits{Deploys: keepFailed + 20}})
	site, other := newSite(t, s), newSite(t, s)
	live := site1.deploy(t, s, dev, site.ID, BeginOptions{})
	for range keepFailed + 19 {
		d, err := s.Begin(t.Context(), dev, site.ID, BeginOptions{Draft: true})
		if err == nil {
			_, err = s.Cancel(t.Context(), dev, d.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Begin(t.Context(), dev, site.ID, BeginOptions{})
	expect(t, "one more", err, weir.Invalid)
	if _, err := s.Begin(t.Context(), dev, other.ID, BeginOptions{}); err != nil {
		t.Error("another site:", err)
	}
	collect(t, s)
	if all, err := s.Deploys(t.Context(), site.ID, Filter{}); err != nil || len(all) != keepFailed+1 || all[keepFailed].ID != live.ID {
		t.Errorf("%d are left: %v", len(all), err)
	}
	if _, err := s.Begin(t.Context(), dev, site.ID, BeginOptions{}); err != nil {
		t.Error("after that:", err)
	}
}
