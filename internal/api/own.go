package api

// Weir's own calls, below /weir: review and policies, tokens, health. Jobs, logs and changes have files of their own.

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

var reviewRoutes = []route{
	{method: "POST", path: "/weir/deploys/{deploy_id}/approve", id: "approveDeploy", about: "agree to what a held deploy may do", right: access.Approve, scope: ofDeploy, in: wire.Review{}, out: wire.Deploy{}, large: true, do: (*call).approve},
	{method: "POST", path: "/weir/deploys/{deploy_id}/reject", id: "rejectDeploy", about: "refuse what a held deploy may do", right: access.Approve, scope: ofDeploy, in: wire.Review{}, out: wire.Deploy{}, do: (*call).reject},
	{method: "GET", path: "/weir/deploys/{deploy_id}/diff", id: "diffDeploy", about: "what a deploy may do that was not approved before, as JSON, or as Markdown or plain text if that is accepted", right: access.Read, scope: ofDeploy, out: json.RawMessage{}, large: true, do: (*call).diff},
	{method: "POST", path: "/weir/deploys/{deploy_id}/restage", id: "restageDeploy", about: "begin a deploy with the same content, for which today's policy and ceiling count", right: access.Deploy, scope: ofDeploy, out: wire.Deploy{}, large: true, do: (*call).restage},
	{method: "DELETE", path: "/weir/sites/{site_id}/aliases/{alias}", id: "deleteAlias", about: "have an alias lead nowhere; its deploy stays", right: access.Rollback, scope: ofSite, do: (*call).removeAlias},
	{method: "GET", path: "/weir/sites/{site_id}/policy", id: "getSitePolicy", about: "the policy that is set for a site on the server", right: access.Read, scope: ofSite, out: wire.Policy{}, do: (*call).policy},
	{method: "PUT", path: "/weir/sites/{site_id}/policy", id: "setSitePolicy", about: "set the policy of a site, in place of that of its deploys", right: access.SetPolicy, scope: ofSite, in: wire.Policy{}, do: (*call).setPolicy},
}

var tokenRoutes = []route{
	{method: "GET", path: "/weir/tokens", id: "listTokens", about: "all tokens, without their secrets", right: access.ManageTokens, scope: account, out: []wire.Token{}, do: (*call).tokens},
	{method: "POST", path: "/weir/tokens", id: "createToken", about: "a new token; its secret is told this once", right: access.ManageTokens, scope: account, in: wire.NewToken{}, out: wire.CreatedToken{}, created: true, do: (*call).createToken},
	{method: "DELETE", path: "/weir/tokens/{token_id}", id: "revokeToken", about: "end a token, by its id or name; every token may end itself", scope: anyone, do: (*call).revokeToken},
}

// ownRoutes gives the routes of Weir's own calls.
func (a *API) ownRoutes() []route {
	routes := slices.Concat(reviewRoutes, tokenRoutes, jobRoutes)
	if a.Logs != nil {
		routes = append(routes, logRoutes...)
	}
	return append(routes,
		route{method: "POST", path: "/weir/env/rotate", id: "rotateKeys", about: "seal all variables anew, with the first key of the key file", right: access.RotateKeys, scope: account, out: wire.Rotated{}, do: (*call).rotate},
		route{method: "GET", path: "/weir/changes", id: "listChanges", about: "who changed what, the last ones; of a site, or of the whole server", right: access.Read, scope: ofQuery, query: []string{"site_id", "author", "action", "since", "limit"}, out: []record.Change{}, large: true, do: (*call).changes},
		route{method: "GET", path: healthPath, id: "health", about: "whether the server answers", scope: open, out: wire.Health{}, do: (*call).health},
		route{method: "GET", path: "/openapi.json", id: "document", about: "this document", scope: open, out: json.RawMessage{}, do: (*call).document},
	)
}

const healthPath = "/weir/health"

// health is for whoever shares out requests among servers: one that is to end gets none.
func (c *call) health() (any, error) {
	if c.Leaving != nil && c.Leaving() {
		return nil, &weir.Error{Code: weir.Unavailable, Message: "the server is ending", Remedy: "ask another one"}
	}
	return wire.Health{Status: "ok", Version: c.Version}, nil
}

// changes tells of the whole server only to whoever may read all of it.
func (c *call) changes() (any, error) {
	since, limit, err := c.window()
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	all, err := c.Journal.Read(c.r.Context(), access.Filter{Site: c.site.ID, Author: q.Get("author"), Action: q.Get("action"), Since: since, Limit: limit})
	if err != nil {
		return nil, err
	}
	return append([]record.Change{}, all...), nil
}

func (c *call) document() (any, error) { return json.RawMessage(c.doc), nil }

func (c *call) approve() (any, error) {
	var in wire.Review
	if err := c.decode(&in, maxBody, true); err != nil {
		return nil, err
	}
	return c.answer(c.Deploys.Approve(c.r.Context(), c.author(), c.deploy.ID, in.Note))
}

func (c *call) reject() (any, error) {
	var in wire.Review
	if err := c.decode(&in, maxBody, true); err != nil {
		return nil, err
	}
	return c.answer(c.Deploys.Reject(c.r.Context(), c.author(), c.deploy.ID, in.Note))
}

func (c *call) restage() (any, error) {
	return c.answer(c.Deploys.Restage(c.r.Context(), c.author(), c.deploy.ID))
}

func (c *call) removeAlias() (any, error) {
	_, err := c.Deploys.RemoveAlias(c.r.Context(), c.author(), c.site.ID, c.r.PathValue("alias"))
	return nil, err
}

func (c *call) diff() (any, error) {
	result, err := c.Deploys.Diff(c.r.Context(), c.deploy.ID)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	write, mediaType := result.JSON, "application/json"
	switch accepted := c.r.Header.Get("Accept"); {
	case strings.Contains(accepted, "text/markdown"):
		write, mediaType = result.Markdown, "text/markdown; charset=utf-8"
	case strings.Contains(accepted, "text/plain"):
		write, mediaType = result.Text, "text/plain; charset=utf-8"
	}
	if err := write(&b); err != nil {
		return nil, err
	}
	c.w.Header().Set("Content-Type", mediaType)
	c.w.WriteHeader(http.StatusOK)
	b.WriteTo(c.w)
	return streamed, nil
}

func (c *call) policy() (any, error) {
	p, err := c.Sites.SitePolicy(c.r.Context(), c.site.ID)
	if err != nil {
		return nil, err
	}
	return wire.Policy{Text: p.Text, Author: p.Author, Updated: p.Updated}, nil
}

func (c *call) setPolicy() (any, error) {
	var in wire.Policy
	if err := c.decode(&in, maxBody, true); err != nil {
		return nil, err
	}
	return nil, c.Sites.SetPolicy(c.r.Context(), c.author(), c.site.ID, in.Text)
}

func (c *call) tokens() (any, error) {
	all, err := c.Access.List(c.r.Context(), c.who)
	if err != nil {
		return nil, err
	}
	out := []wire.Token{}
	for _, t := range all {
		out = append(out, wireToken(t))
	}
	return out, nil
}

func (c *call) createToken() (any, error) {
	var in wire.NewToken
	if err := c.decode(&in, maxBody, true); err != nil {
		return nil, err
	}
	spec := access.Spec{Name: in.Name, Kind: access.Kind(in.Kind), Role: access.Role(in.Role), Expires: in.Expires}
	for _, name := range in.Sites {
		site, err := c.Sites.Site(c.r.Context(), name)
		if err != nil {
			return nil, err
		}
		spec.Sites = append(spec.Sites, site.ID)
	}
	t, secret, err := c.Access.Create(c.r.Context(), c.who, spec)
	if err != nil {
		return nil, err
	}
	return wire.CreatedToken{Token: wireToken(t), Secret: secret}, nil
}

// revokeToken leaves it to access who may: every token may end itself.
func (c *call) revokeToken() (any, error) {
	_, err := c.Access.Revoke(c.r.Context(), c.who, c.r.PathValue("token_id"))
	return nil, err
}

func wireToken(t access.Token) wire.Token {
	if t.Kind == access.Deployer {
		t.Role = "" // it has no role's rights, but those of its kind
	}
	return wire.Token{ID: t.ID, Name: t.Name, Role: string(t.Role), Kind: string(t.Kind), Sites: t.Sites, Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed}
}
