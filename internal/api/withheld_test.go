package api

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// TestWithheldDeploysHaveFailed: Netlify's clients, which know of no review, would say that they are live. What was to
// have no other URL than its own has that.
func TestWithheldDeploysHaveFailed(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		o      deploys.BeginOptions
		review weir.Review
		failed bool
	}{
		"held":              {deploys.BeginOptions{}, weir.ReviewHeld, true},
		"held with alias":   {deploys.BeginOptions{Alias: "next"}, weir.ReviewHeld, true},
		"a held draft":      {deploys.BeginOptions{Draft: true}, weir.ReviewHeld, false},
		"approved":          {deploys.BeginOptions{}, weir.ReviewApproved, false},
		"rejected":          {deploys.BeginOptions{}, weir.ReviewRejected, true},
		"a rejected draft":  {deploys.BeginOptions{Draft: true}, weir.ReviewRejected, true},
		"of nothing gained": {deploys.BeginOptions{}, weir.ReviewNone, false},
	} {
		d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, c.o)
		d.State, d.Review, d.Reviewer = weir.DeployReady, c.review, "rita"
		w.deploys[d.ID] = d
		want := map[bool]string{true: "error", false: "ready"}[c.failed]
		out := get[wire.Deploy](t, w, "developer", "GET", "/sites/shop/deploys/"+d.ID, "")
		if out.State != want || (out.ErrorMessage != "") != c.failed || out.Weir.Review != string(c.review) {
			t.Errorf("%s: %s %q", name, out.State, out.ErrorMessage)
		}
		if c.review == weir.ReviewHeld && c.failed && (!strings.Contains(out.ErrorMessage, "weir deploys approve "+d.ID) || !strings.Contains(out.ErrorMessage, out.DeployURL)) {
			t.Errorf("%s: nothing says what to do: %s", name, out.ErrorMessage)
		}
		// netlify-cli cancels what has failed: it must not be lost to who approves.
		if c.failed {
			if out := get[wire.Deploy](t, w, "developer", "POST", "/deploys/"+d.ID+"/cancel", ""); out.State != "error" || w.deploys[d.ID].State != weir.DeployReady {
				t.Errorf("%s, cancelled: %+v", name, w.deploys[d.ID])
			}
		}
		found := 0
		for _, d := range get[[]wire.Deploy](t, w, "developer", "GET", "/sites/shop/deploys?state="+want, "") {
			if d.State != want {
				t.Errorf("%s: asked for %s, got %s", name, want, d.State)
			}
			if d.ID == out.ID {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s: %d times among those that are %s", name, found, want)
		}
	}
}

// TestURLsForPeople: what clients print as pages about a site and its logs says where these are, to everybody the same.
func TestURLsForPeople(t *testing.T) {
	w := newWorld(t)
	at := strings.TrimPrefix(get[wire.Site](t, w, "viewer", "GET", "/sites/shop", "").AdminURL, "http://localhost:9999")
	said := map[string]bool{}
	for _, path := range []string{at, at + "/deploys/x", at + "/logs/functions?scope=deploy:x", strings.Replace(at, "shop", "none", 1)} {
		r := httptest.NewRequest("GET", path, nil)
		r.Host = "localhost:9999"
		rec := httptest.NewRecorder()
		w.api.ServeHTTP(rec, r)
		if said[rec.Body.String()] = true; rec.Code != 200 || !strings.Contains(rec.Body.String(), "weir logs") {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	if len(said) != 1 {
		t.Errorf("it tells of sites: %v", said)
	}
}

func TestFilesOfASite(t *testing.T) {
	w := newWorld(t)
	if all := get[[]wire.File](t, w, "viewer", "GET", "/sites/shop/files", ""); len(all) != 0 {
		t.Errorf("before any deploy: %+v", all)
	}
	d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
	w.declared[d.ID] = deploys.Declaration{Files: map[string]string{"b/two.txt": "22", "a.txt": "11", "c.txt": "33"}}
	get[wire.Deploy](t, w, "developer", "POST", "/sites/shop/deploys/"+d.ID+"/restore", "")
	if all := get[[]wire.File](t, w, "viewer", "GET", "/sites/shop/files?per_page=2", ""); len(all) != 2 || all[0].Path != "/a.txt" || all[1].SHA != "22" || all[1].Size != 1 {
		t.Errorf("%+v", all)
	}
	for _, path := range []string{"b/two.txt", "b%2Ftwo.txt"} {
		if f := get[wire.File](t, w, "viewer", "GET", "/sites/shop/files/"+path, ""); f.Path != "/b/two.txt" || f.SHA != "22" {
			t.Errorf("%s: %+v", path, f)
		}
	}
	if rec := w.ask("viewer", "GET", "/sites/shop/files/none", ""); rec.Code != 404 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestCopiedSecretsHaveNoValue: netlify env:clone sends all that it was told of another site.
func TestCopiedSecretsHaveNoValue(t *testing.T) {
	w := newWorld(t)
	at := "/accounts/default/env?site_id=shop"
	rec := w.ask("developer", "POST", at, `[{"key":"A","values":[{"context":"all","value":"a"}]},{"key":"KEY","is_secret":true,"values":[{"context":"all","value":""}]},{"key":"Z","values":[{"context":"all","value":"z"}]}]`)
	if rec.Code != 422 || !strings.Contains(rec.Body.String(), "KEY") || strings.Contains(rec.Body.String(), "secrets A") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for _, key := range []string{"A", "Z"} {
		if len(w.vars.all[w.site.ID+"/"+key].Values) != 1 {
			t.Errorf("%s is not set: %+v", key, w.vars.all)
		}
	}
}

func TestAnAliasGoesAlone(t *testing.T) {
	w := newWorld(t)
	d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{Alias: "next"})
	s := w.fake.sites[w.site.ID]
	s.Aliases = map[string]string{"next": d.ID}
	w.fake.sites[s.ID] = s
	if rec := w.ask("viewer", "DELETE", "/weir/sites/shop/aliases/next", ""); rec.Code != 403 {
		t.Errorf("a viewer: %d", rec.Code)
	}
	for i, want := range []int{204, 404} {
		if rec := w.ask("developer", "DELETE", "/weir/sites/shop/aliases/next", ""); rec.Code != want {
			t.Errorf("%d. %d %s", i+1, rec.Code, rec.Body)
		}
	}
	if _, kept := w.deploys[d.ID]; !kept || len(w.fake.sites[s.ID].Aliases) != 0 {
		t.Errorf("%v %v", kept, w.fake.sites[s.ID].Aliases)
	}
}
