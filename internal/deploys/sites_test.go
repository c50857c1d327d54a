package deploys

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

func TestNamesAndDomains(t *testing.T) {
	s, f := newService(t)
	ctx := t.Context()
	one, err := s.CreateSite(ctx, dev, "shop")
	if err != nil || !isUUID.MatchString(one.ID) || one.Name != "shop" {
		t.Fatalf("got %+v %v", one, err)
	}
	f.advance(time.Hour)
	_, err = s.CreateSite(ctx, dev, "shop")
	expect(t, "a name that is taken", err, weir.Conflict)
	for _, bad := range []string{"Shop", "a--b", "-a", "a-", "a.b", "a_b", "ä", strings.Repeat("a", 38), "a b", "*", ">"} {
		_, err := s.CreateSite(ctx, dev, bad)
		expect(t, "the name "+bad, err, weir.Invalid)
	}
	two := newSite(t, s)
	set := func(id string, domains ...string) error {
		_, err := s.UpdateSite(ctx, dev, id, SiteChange{Domains: &domains})
		return err
	}
	for _, bad := range []string{"localhost", "192.0.2.1", "::1", "a..b", "http://a.example", "a.example:80", "a.example.", "weir.test", "shop.weir.test", "ä.example", "*.example.com", "0x7f.1"} {
		expect(t, "the domain "+bad, set(one.ID, bad), weir.Invalid)
	}
	if err := set(one.ID, "WWW.Example.com", "example.com", "www.example.com", "xn--4ca.example"); err != nil {
		t.Fatal(err)
	}
	expect(t, "a domain that is taken", set(two.ID, "new.example", "Example.COM"), weir.Conflict)
	if err := set(two.ID, "new.example"); err != nil {
		t.Errorf("what came with it is still free: %v", err)
	}
	for _, ref := range []string{one.ID, "shop", "example.com", "Example.com"} {
		if got, err := s.Site(ctx, ref); err != nil || got.ID != one.ID || strings.Join(got.Domains, " ") != "www.example.com example.com xn--4ca.example" {
			t.Errorf("%s: got %+v %v", ref, got, err)
		}
	}
	for _, ref := range []string{"", "nobody", "a.b", "*", ">", "site." + one.ID, strings.Repeat("x", 4000), "00000000-0000-4000-8000-000000000000"} {
		_, err := s.Site(ctx, ref)
		expect(t, ref, err, weir.NotFound)
	}
	name := "store"
	if _, err := s.UpdateSite(ctx, dev, one.ID, SiteChange{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if err := set(one.ID, "example.com"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Site(ctx, "shop")
	expect(t, "the old name", err, weir.NotFound)
	if err := set(two.ID, "www.example.com"); err != nil {
		t.Errorf("a domain that was given up is free: %v", err)
	}
	if three, err := s.CreateSite(ctx, dev, "shop"); err != nil || three.ID == one.ID {
		t.Errorf("a name that was given up is free: %v", err)
	}
	if got := f.actions(one.ID); got != "dev:site.create dev:site.update dev:site.update dev:site.update" {
		t.Errorf("on record is %q", got)
	}
	if all, err := s.Sites(ctx); err != nil || len(all) != 3 || all[len(all)-1].Name != "store" && all[0].Name > all[1].Name {
		t.Errorf("got %+v %v", all, err)
	}
}

// TestTheServersOwnNames: a site by such a name would be shown the tokens of those who leave out the API's port.
func TestTheServersOwnNames(t *testing.T) {
	s := newServer(t, newStore(t), &fake{}, Options{Domain: "example.com", Reserved: []string{"weir.example.com", "api.example.net"}})
	_, err := s.CreateSite(t.Context(), approver, "weir")
	expect(t, "a site with the API's name", err, weir.Invalid)
	site := newSite(t, s)
	name := "weir"
	_, err = s.UpdateSite(t.Context(), approver, site.ID, SiteChange{Name: &name})
	expect(t, "renamed to the API's name", err, weir.Invalid)
	_, err = s.UpdateSite(t.Context(), approver, site.ID, SiteChange{Domains: &[]string{"www.example.net", "API.example.net"}})
	expect(t, "the API's name as a domain", err, weir.Invalid)
}

func TestDeletingASite(t *testing.T) {
	s, _ := newService(t)
	ctx, site := t.Context(), newSite(t, s)
	d := site1.deploy(t, s, dev, site.ID, BeginOptions{})
	open, _ := page(1).begin(t, s, dev, site.ID, BeginOptions{})
	if err := s.DeleteSite(ctx, dev, site.ID); err != nil {
		t.Fatal(err)
	}
	_, err := s.Site(ctx, site.ID)
	expect(t, "the site", err, weir.NotFound)
	_, err = s.Deploy(ctx, d.ID)
	expect(t, "its deploy", err, weir.NotFound)
	expect(t, "its upload", s.UploadFile(ctx, dev, open, "index.html", strings.NewReader("page 1")), weir.NotFound)
	_, err = s.Begin(ctx, dev, site.ID, BeginOptions{})
	expect(t, "a new deploy", err, weir.NotFound)
	expect(t, "again", s.DeleteSite(ctx, dev, site.ID), weir.NotFound)
	if again, err := s.CreateSite(ctx, dev, site.Name); err != nil || again.Name != site.Name {
		t.Error(err)
	}
}

// TestOneNameForOneSite: of many who want a name at once, one gets it; what a server that ended has claimed is free again.
func TestOneNameForOneSite(t *testing.T) {
	s, f := newService(t)
	var got, taken int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := s.CreateSite(t.Context(), dev, "wanted")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got++
			} else if weir.ErrorCode(err) == weir.Conflict {
				taken++
			}
		})
	}
	wg.Wait()
	if got != 1 || taken != 7 {
		t.Errorf("%d got it, %d heard that it is taken", got, taken)
	}
	if err := s.claim(t.Context(), nameKey("left"), newUUID()); err != nil {
		t.Fatal(err)
	}
	_, err := s.CreateSite(t.Context(), dev, "left")
	expect(t, "at once", err, weir.Conflict)
	f.advance(2 * time.Minute)
	if _, err := s.CreateSite(t.Context(), dev, "left"); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

// FuzzNames: whatever an alias is made of, ALIAS--NAME is one label, and says which is which.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"main", "feature/Login", "a--b", "-", "xn", "xn--a", "0123456789abcdef01234567", "ü", "a.b", "\x00"} {
		f.Add(s, "shop")
		f.Add("next", s)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if checkSiteName(name) != nil {
			name = "shop"
		}
		alias, err := aliasOf(text, name)
		if err != nil || alias == "" {
			if err != nil {
				expect(t, text, err, weir.Invalid)
			}
			return
		}
		label := alias + separator + name
		i := strings.LastIndex(label, separator)
		if !isLabel.MatchString(label) || len(label) > maxLabel || label[:i] != alias || label[i+len(separator):] != name || strings.HasPrefix(label, "xn--") || isDeployID.MatchString(alias) {
			t.Errorf("%q of %q is %q", text, name, label)
		}
	})
}

func FuzzDomains(f *testing.F) {
	for _, s := range []string{"www.example.com", "EXAMPLE.com", "a.weir.test", "1.2.3.4", "[::1]", "localhost", "xn--4ca.example", "a_b.example", "*.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, domain string) {
		got, err := canonicalDomains([]string{domain}, "weir.test")
		if err != nil {
			expect(t, domain, err, weir.Invalid)
			return
		}
		again, err := canonicalDomains(got, "weir.test")
		if err != nil || len(again) != 1 || again[0] != got[0] || got[0] != strings.ToLower(got[0]) || strings.HasSuffix(got[0], ".weir.test") || !strings.Contains(got[0], ".") {
			t.Errorf("%q is %q, which is %q: %v", domain, got, again, err)
		}
	})
}
