package client

// The calls, one method each.

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/record"
)

func call[T any](ctx context.Context, c *Client, r request) (out T, err error) {
	r.out = &out
	return out, c.do(ctx, r)
}

// path joins a path of constant and given parts: the odd ones are escaped.
func path(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i%2 == 1 {
			p = url.PathEscape(p)
		}
		b.WriteString(p)
	}
	return b.String()
}

const perPage = 100

// pages gives all of a list that comes in pages.
func pages[T any](ctx context.Context, c *Client, at string, q url.Values) ([]T, error) {
	all := []T{}
	for page := 1; ; page++ {
		q.Set("page", strconv.Itoa(page))
		q.Set("per_page", strconv.Itoa(perPage))
		some, err := call[[]T](ctx, c, request{method: "GET", path: at + "?" + q.Encode()})
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < perPage {
			return all, nil
		}
	}
}

// User gives whose the token is.
func (c *Client) User(ctx context.Context) (wire.User, error) {
	return call[wire.User](ctx, c, request{method: "GET", path: "/user"})
}

// Health asks whether the server answers; no token is needed.
func (c *Client) Health(ctx context.Context) (wire.Health, error) {
	return call[wire.Health](ctx, c, request{method: "GET", path: "/weir/health"})
}

// Sites gives all sites that the token may see, by name.
func (c *Client) Sites(ctx context.Context) ([]wire.Site, error) {
	return pages[wire.Site](ctx, c, "/sites", url.Values{})
}

// Site gives a site by its id, name or host name.
func (c *Client) Site(ctx context.Context, site string) (wire.Site, error) {
	return call[wire.Site](ctx, c, request{method: "GET", path: path("/sites/", site)})
}

// CreateSite makes a site; without a name, one is made up.
func (c *Client) CreateSite(ctx context.Context, name string) (wire.Site, error) {
	return call[wire.Site](ctx, c, request{method: "POST", path: "/sites", in: wire.NewSite{Name: name}, once: true})
}

// UpdateSite changes a site.
func (c *Client) UpdateSite(ctx context.Context, site string, change wire.SiteChange) (wire.Site, error) {
	return call[wire.Site](ctx, c, request{method: "PATCH", path: path("/sites/", site), in: change})
}

// DeleteSite removes a site with all that belongs to it.
func (c *Client) DeleteSite(ctx context.Context, site string) error {
	return c.do(ctx, request{method: "DELETE", path: path("/sites/", site), once: true})
}

// DeleteDeploy removes a deploy that nothing serves.
func (c *Client) DeleteDeploy(ctx context.Context, id string) error {
	return c.do(ctx, request{method: "DELETE", path: path("/deploys/", id), once: true})
}

// Deploys gives the deploys of a site, the newest first. review is "held", "approved", "rejected", or "" for all.
func (c *Client) Deploys(ctx context.Context, site, review string) ([]wire.Deploy, error) {
	q := url.Values{}
	if review != "" {
		q.Set("review", review)
	}
	return pages[wire.Deploy](ctx, c, path("/sites/", site, "/deploys"), q)
}

// Deploy gives a deploy.
func (c *Client) Deploy(ctx context.Context, id string) (wire.Deploy, error) {
	return call[wire.Deploy](ctx, c, request{method: "GET", path: path("/deploys/", id)})
}

// BeginDeploy begins a deploy.
func (c *Client) BeginDeploy(ctx context.Context, site string, d wire.NewDeploy) (wire.Deploy, error) {
	return call[wire.Deploy](ctx, c, request{method: "POST", path: path("/sites/", site, "/deploys"), in: d, once: true})
}

// Declare says what a deploy consists of; the answer, what is to be uploaded.
func (c *Client) Declare(ctx context.Context, site, id string, d wire.Declaration) (wire.Deploy, error) {
	return call[wire.Deploy](ctx, c, request{method: "PUT", path: path("/sites/", site, "/deploys/", id), in: d})
}

// Cancel gives up a deploy that isn't ready.
func (c *Client) Cancel(ctx context.Context, id string) (wire.Deploy, error) {
	return c.deployed(ctx, "/deploys/", id, "/cancel", nil)
}

// Restore publishes a deploy.
func (c *Client) Restore(ctx context.Context, site, id string) (wire.Deploy, error) {
	return call[wire.Deploy](ctx, c, request{method: "POST", path: path("/sites/", site, "/deploys/", id, "/restore"), once: true})
}

// Rollback publishes the deploy that was published before.
func (c *Client) Rollback(ctx context.Context, site string) (wire.Deploy, error) {
	return call[wire.Deploy](ctx, c, request{method: "PUT", path: path("/sites/", site, "/rollback"), once: true})
}

// RemoveAlias has an alias of a site lead nowhere.
func (c *Client) RemoveAlias(ctx context.Context, site, alias string) error {
	return c.do(ctx, request{method: "DELETE", path: path("/weir/sites/", site, "/aliases/", alias), once: true})
}

// Lock publishes a deploy, and no new one by itself.
func (c *Client) Lock(ctx context.Context, id string) (wire.Deploy, error) {
	return c.deployed(ctx, "/deploys/", id, "/lock", nil)
}

// Unlock undoes Lock.
func (c *Client) Unlock(ctx context.Context, id string) (wire.Deploy, error) {
	return c.deployed(ctx, "/deploys/", id, "/unlock", nil)
}

// Restage begins a deploy with the content of another.
func (c *Client) Restage(ctx context.Context, id string) (wire.Deploy, error) {
	return c.deployed(ctx, "/weir/deploys/", id, "/restage", nil)
}

// Approve agrees to what a held deploy may do.
func (c *Client) Approve(ctx context.Context, id, note string) (wire.Deploy, error) {
	return c.deployed(ctx, "/weir/deploys/", id, "/approve", wire.Review{Note: note})
}

// Reject refuses what a held deploy may do.
func (c *Client) Reject(ctx context.Context, id, note string) (wire.Deploy, error) {
	return c.deployed(ctx, "/weir/deploys/", id, "/reject", wire.Review{Note: note})
}

func (c *Client) deployed(ctx context.Context, before, id, after string, in any) (wire.Deploy, error) {
	return call[wire.Deploy](ctx, c, request{method: "POST", path: path(before, id, after), in: in, once: true})
}

// Diff gives what a deploy may do that was not approved before, in one of the media types application/json,
// text/markdown and text/plain.
func (c *Client) Diff(ctx context.Context, id, mediaType string) ([]byte, error) {
	return call[[]byte](ctx, c, request{method: "GET", path: path("/weir/deploys/", id, "/diff"), accept: mediaType})
}

// Policy gives the policy that is set for a site on the server, "" for none.
func (c *Client) Policy(ctx context.Context, site string) (string, error) {
	p, err := call[wire.Policy](ctx, c, request{method: "GET", path: path("/weir/sites/", site, "/policy")})
	return p.Text, err
}

// SetPolicy sets it.
func (c *Client) SetPolicy(ctx context.Context, site, text string) error {
	return c.do(ctx, request{method: "PUT", path: path("/weir/sites/", site, "/policy"), in: wire.Policy{Text: text}})
}

// env is where the variables of a site are, or of the organisation for "".
func env(account, site, rest string) string {
	at := path("/accounts/", account, "/env") + rest
	if site != "" {
		at += "?site_id=" + url.QueryEscape(site)
	}
	return at
}

// account is the organisation of a server.
func (c *Client) account(ctx context.Context) (string, error) {
	all, err := call[[]wire.Account](ctx, c, request{method: "GET", path: "/accounts"})
	if err != nil || len(all) == 0 {
		return "default", err
	}
	return all[0].ID, nil
}

// Variables gives the variables of a site, or of the organisation for "".
func (c *Client) Variables(ctx context.Context, site string) ([]wire.Variable, error) {
	account, err := c.account(ctx)
	if err != nil {
		return nil, err
	}
	return call[[]wire.Variable](ctx, c, request{method: "GET", path: env(account, site, "")})
}

// SetVariables sets variables, whatever they were before.
func (c *Client) SetVariables(ctx context.Context, site string, vars []wire.Variable) error {
	account, err := c.account(ctx)
	if err != nil {
		return err
	}
	return c.do(ctx, request{method: "POST", path: env(account, site, ""), in: vars})
}

// SetValue sets the value of a variable in one context.
func (c *Client) SetValue(ctx context.Context, site, key string, v wire.Value) error {
	account, err := c.account(ctx)
	if err != nil {
		return err
	}
	return c.do(ctx, request{method: "PATCH", path: env(account, site, path("/", key)), in: v})
}

// DeleteVariable removes a variable, or if id is not "" its value with that id.
func (c *Client) DeleteVariable(ctx context.Context, site, key, id string) error {
	account, err := c.account(ctx)
	if err != nil {
		return err
	}
	rest := path("/", key)
	if id != "" {
		rest = path("/", key, "/value/", id)
	}
	return c.do(ctx, request{method: "DELETE", path: env(account, site, rest)})
}

// RotateKeys seals all variables anew with the first key of the server's key file.
func (c *Client) RotateKeys(ctx context.Context) (wire.Rotated, error) {
	return call[wire.Rotated](ctx, c, request{method: "POST", path: "/weir/env/rotate"})
}

// Tokens gives all tokens.
func (c *Client) Tokens(ctx context.Context) ([]wire.Token, error) {
	return call[[]wire.Token](ctx, c, request{method: "GET", path: "/weir/tokens"})
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, t wire.NewToken) (wire.CreatedToken, error) {
	return call[wire.CreatedToken](ctx, c, request{method: "POST", path: "/weir/tokens", in: t, once: true})
}

// RevokeToken ends a token, by its id or name.
func (c *Client) RevokeToken(ctx context.Context, token string) error {
	return c.do(ctx, request{method: "DELETE", path: path("/weir/tokens/", token), once: true})
}

// Jobs gives the background runs of a site that wait or run, or those that were given up.
func (c *Client) Jobs(ctx context.Context, site string, dead bool) ([]wire.Job, error) {
	at := path("/weir/sites/", site, "/jobs")
	if dead {
		at += "?state=dead"
	}
	return call[[]wire.Job](ctx, c, request{method: "GET", path: at})
}

// ReplayJob runs one again that was given up.
func (c *Client) ReplayJob(ctx context.Context, site, id string) error {
	return c.do(ctx, request{method: "POST", path: path("/weir/sites/", site, "/jobs/", id, "/replay"), once: true})
}

// DropJob forgets one that was given up.
func (c *Client) DropJob(ctx context.Context, site, id string) error {
	return c.do(ctx, request{method: "DELETE", path: path("/weir/sites/", site, "/jobs/", id)})
}

// Schedules gives the functions of a site that run by themselves.
func (c *Client) Schedules(ctx context.Context, site string) ([]wire.Schedule, error) {
	return call[[]wire.Schedule](ctx, c, request{method: "GET", path: path("/weir/sites/", site, "/schedules")})
}

// RunSchedule runs a scheduled function now and waits for its end.
func (c *Client) RunSchedule(ctx context.Context, site, function string) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, request{method: "POST", path: path("/weir/sites/", site, "/schedules/", function, "/run"), once: true})
}

// Changes gives the last changes of a site, or of the whole server for "", in order; limit 0: 100.
func (c *Client) Changes(ctx context.Context, site string, limit int) ([]record.Change, error) {
	q := url.Values{}
	if site != "" {
		q.Set("site_id", site)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return call[[]record.Change](ctx, c, request{method: "GET", path: "/weir/changes?" + q.Encode()})
}
