package api

// Sites.

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// visible gives the sites that the caller may see, by name.
func (c *call) visible() ([]weir.Site, error) {
	all, err := c.Sites.Sites(c.r.Context())
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s weir.Site) bool { return !c.who.May(access.Read, s.ID) })
	slices.SortFunc(all, func(a, b weir.Site) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (c *call) sites() (any, error) {
	if name := c.r.URL.Query().Get("name"); name != "" {
		return c.sitesNamed(name)
	}
	all, err := c.visible()
	if err != nil {
		return nil, err
	}
	from, to, err := page(c.r.URL.Query(), len(all))
	if err != nil {
		return nil, err
	}
	out := []wire.Site{}
	for _, s := range all[from:to] {
		out = append(out, c.wireSite(s, nil))
	}
	return out, nil
}

// sitesNamed gives the site that is called so. netlify-cli asks for what --site names, be it an id, and takes the site
// only if that is its name.
func (c *call) sitesNamed(name string) (any, error) {
	s, err := c.Sites.Site(c.r.Context(), name)
	if weir.ErrorCode(err) == weir.NotFound || err == nil && !c.who.May(access.Read, s.ID) {
		return []wire.Site{}, nil
	}
	if err != nil {
		return nil, err
	}
	c.site = s
	out, err := c.fullSite()
	if err != nil {
		return nil, err
	}
	out.Name = name
	return []wire.Site{out}, nil
}

// page reads page and per_page, and gives what part of n things they are.
func page(q url.Values, n int) (from, to int, err error) {
	number := func(name string, otherwise, most int) int {
		text := q.Get(name)
		if text == "" {
			return otherwise
		}
		v, wrong := strconv.Atoi(text)
		if wrong != nil || v < 1 || v > most {
			err = &weir.Error{Code: weir.Invalid, Message: name + " must be a number from 1 to " + strconv.Itoa(most)}
		}
		return v
	}
	size := number("per_page", maxPage, 1000)
	at := number("page", 1, 1_000_000)
	if err != nil {
		return 0, 0, err
	}
	size = min(size, maxPage)
	from = min((at-1)*size, n)
	return from, min(from+size, n), nil
}

const maxPage = 100

func (c *call) createSite() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	var in wire.NewSite
	err := c.decode(&in, maxBody, false)
	if err != nil {
		return nil, err
	}
	c.site, err = c.Sites.CreateSite(c.r.Context(), c.author(), in.Name)
	if weir.ErrorCode(err) == weir.Conflict {
		// By 422, netlify-cli knows that the name is taken.
		return nil, &weir.Error{Code: weir.Invalid, Message: "the name " + printable(in.Name) + " is taken", Remedy: "choose another", Err: err}
	}
	if err != nil {
		return nil, err
	}
	return c.wireSite(c.site, nil), nil
}

func (c *call) getSite() (any, error) { return c.fullSite() }

func (c *call) updateSite() (any, error) {
	var in wire.SiteChange
	err := c.decode(&in, maxBody, false)
	if err != nil {
		return nil, err
	}
	change := deploys.SiteChange{Name: in.Name, Locked: in.Locked}
	if in.CustomDomain != nil || in.DomainAliases != nil {
		domains := newDomains(c.site.Domains, in)
		change.Domains = &domains
	}
	if c.site, err = c.Sites.UpdateSite(c.r.Context(), c.author(), c.site.ID, change); err != nil {
		return nil, err
	}
	return c.fullSite()
}

// newDomains puts the primary host name and the others together: what is not named stays.
func newDomains(have []string, in wire.SiteChange) []string {
	primary, others := "", []string{}
	if len(have) > 0 {
		primary, others = have[0], have[1:]
	}
	if in.CustomDomain != nil {
		primary = *in.CustomDomain
	}
	if in.DomainAliases != nil {
		others = *in.DomainAliases
	}
	out := []string{}
	for _, d := range slices.Concat([]string{primary}, others) {
		if d != "" && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

func (c *call) deleteSite() (any, error) {
	if err := c.Sites.DeleteSite(c.r.Context(), c.author(), c.site.ID); err != nil {
		return nil, err
	}
	return nil, c.Environ.RemoveSite(c.r.Context(), c.site.ID)
}

// fullSite is the site with its published deploy.
func (c *call) fullSite() (wire.Site, error) {
	published, err := c.published()
	if err != nil {
		return wire.Site{}, err
	}
	return c.wireSite(c.site, published), nil
}

// published gives the deploy that the site serves, with its functions; nil for none.
func (c *call) published() (*wire.Deploy, error) {
	if c.site.Published == "" {
		return nil, nil
	}
	d, err := c.Deploys.Deploy(c.r.Context(), c.site.Published)
	if weir.ErrorCode(err) == weir.NotFound {
		return nil, nil // it went in this moment
	}
	if err != nil {
		return nil, err
	}
	out, err := c.fullDeploy(d)
	return &out, err
}

func (a *API) wireSite(s weir.Site, published *wire.Deploy) wire.Site {
	at := a.SiteURL(s)
	out := wire.Site{
		ID: s.ID, Name: s.Name, State: "current", URL: at, SSLURL: at, AdminURL: a.adminURL(s), DeployURL: at, DeployID: s.Published,
		AccountID: a.Account, AccountSlug: a.Account, AccountName: a.Account, UserID: a.Account, UseEnvelope: true,
		PublishedDeploy: published, Locked: s.Locked, CreatedAt: s.Created, UpdatedAt: s.Updated, DomainAliases: []string{},
	}
	if len(s.Domains) > 0 {
		out.CustomDomain, out.DomainAliases = s.Domains[0], s.Domains[1:]
	}
	return out
}

// adminURL is where a site is looked after, for clients to show. They append /deploys/ID and /logs/functions.
func (a *API) adminURL(s weir.Site) string { return a.URL + adminPath + s.Name }

const adminPath = "/sites/"

// noPages answers whoever follows such a URL: with the same for all sites, for it asks for no token.
func noPages(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, `Sites of this server are looked after by the command line:

  weir deploys list --site NAME     its deploys, and which of them are held
  weir deploys show DEPLOY          one of them, with the server's warnings
  weir logs --site NAME -f          what its functions print, and what they are denied

WEIR_SERVER is the address of this page without its path, WEIR_TOKEN your token.
`)
}

// publishedFiles gives the files of the published deploy, by path; none if there is no such deploy.
func (c *call) publishedFiles() (map[string]weir.DeployFile, error) {
	if c.site.Published == "" {
		return nil, nil
	}
	m, err := c.Deploys.Manifest(c.r.Context(), c.site.Published)
	return m.Files, err
}

func wireFile(path string, f weir.DeployFile) wire.File {
	return wire.File{ID: "/" + path, Path: "/" + path, SHA: f.SHA1, Size: f.Size}
}

func (c *call) files() (any, error) {
	all, err := c.publishedFiles()
	if err != nil {
		return nil, err
	}
	from, to, err := page(c.r.URL.Query(), len(all))
	if err != nil {
		return nil, err
	}
	out := []wire.File{}
	for _, path := range slices.Sorted(maps.Keys(all))[from:to] {
		out = append(out, wireFile(path, all[path]))
	}
	return out, nil
}

func (c *call) file() (any, error) {
	all, err := c.publishedFiles()
	if err != nil {
		return nil, err
	}
	path := c.r.PathValue("file_path")
	f, ok := all[path]
	if !ok {
		return nil, noSuch("file", path)
	}
	return wireFile(path, f), nil
}

func (c *call) siteFunctions() (any, error) {
	d, err := c.published()
	if err != nil {
		return nil, err
	}
	out := wire.FunctionList{Functions: []wire.Function{}}
	if d != nil {
		out.Functions = d.AvailableFunctions
	}
	return out, nil
}
