package api

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/deploys"
)

// TestNobodyMayWithoutTheRight makes every call as everybody: what needs a right is refused to whoever has not got it.
func TestNobodyMayWithoutTheRight(t *testing.T) {
	for _, r := range newWorld(t).api.routes {
		w := newWorld(t)
		d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
		path := strings.NewReplacer("{site_id}", w.site.ID, "{deploy_id}", d.ID, "{account_id}", "default", "{account_slug}", "default").Replace(r.path)
		path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x")
		if r.scope == ofQuery {
			path += "?site_id=" + w.site.ID
		}
		if r.scope == open {
			continue
		}
		if rec := w.ask("", r.method, path, ""); rec.Code != 401 {
			t.Errorf("%s without a token: %d", r.id, rec.Code)
		}
		if r.scope == anyone {
			continue
		}
		if r.right == "" {
			t.Errorf("%s needs no right", r.id)
		}
		if rec := w.ask("stranger", r.method, path, ""); rec.Code != 404 && r.scope != account || rec.Code != 403 && r.scope == account {
			t.Errorf("%s with a token for another site: %d %s", r.id, rec.Code, rec.Body)
		}
		if hidden := regexp.MustCompile(w.site.ID + "|" + d.ID).FindString(path); hidden != "" {
			absent := strings.Repeat("0", len(hidden))
			seen := w.ask("stranger", r.method, strings.ReplaceAll(path, hidden, absent), "").Body.String()
			if kept := w.ask("stranger", r.method, path, "").Body.String(); strings.ReplaceAll(kept, hidden, absent) != seen {
				t.Errorf("%s tells what is kept from a stranger, %s, from what is not there, %s", r.id, kept, seen)
			}
		}
		for _, role := range access.Roles {
			may := access.Identity{Kind: access.Personal, Role: role}.May(r.right, w.site.ID)
			if rec := w.ask(string(role), r.method, path, ""); (rec.Code == 403) == may {
				t.Errorf("%s as %s: %d %s", r.id, role, rec.Code, rec.Body)
			}
		}
	}
}

// TestOnlyThoseAreOpen: a call that asks for no token, or for any, is one of these.
func TestOnlyThoseAreOpen(t *testing.T) {
	known := map[string]bool{"health": true, "document": true, "createTicket": true, "getCurrentUser": true, "listAccountsForUser": true, "getAccount": true, "listSites": true, "revokeToken": true}
	for _, r := range newWorld(t).api.routes {
		if (r.scope == open || r.scope == anyone) != known[r.id] {
			t.Errorf("%s %s: who may?", r.method, r.path)
		}
	}
}

// TestDocument: what is served is documented, and nothing else is.
func TestDocument(t *testing.T) {
	w := newWorld(t)
	rec := w.ask("", "GET", "/openapi.json", "")
	var doc struct {
		Info       struct{ Version string }
		Paths      map[string]map[string]struct{ OperationID, Summary string }
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if health := w.ask("", "GET", "/weir/health", ""); doc.Info.Version != "v1.2.3" || !strings.Contains(health.Body.String(), `"version":"v1.2.3"`) {
		t.Errorf("the version is %s, or %s", doc.Info.Version, health.Body)
	}
	want := map[string]bool{}
	for _, r := range w.api.routes {
		want[r.id] = true
		o := doc.Paths[strings.ReplaceAll(r.path, "...", "")][strings.ToLower(r.method)]
		if o.OperationID != r.id || o.Summary == "" {
			t.Errorf("%s %s is documented as %+v", r.method, r.path, o)
		}
	}
	n := 0
	for path, methods := range doc.Paths {
		for method, o := range methods {
			if n++; !want[o.OperationID] {
				t.Errorf("%s %s is documented and not served", method, path)
			}
		}
	}
	if n != len(w.api.routes) || len(want) != n {
		t.Errorf("%d calls are documented, %d served, under %d names", n, len(w.api.routes), len(want))
	}
	for _, ref := range regexp.MustCompile(`#/components/schemas/(\w+)`).FindAllStringSubmatch(rec.Body.String(), -1) {
		if len(doc.Components.Schemas[ref[1]].Properties) == 0 {
			t.Errorf("the schema %s is not there", ref[1])
		}
	}
}
