package api

// Who calls, and the one organisation that a server is.

import (
	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/weir"
)

func (c *call) user() (any, error) {
	sites, err := c.visible()
	if err != nil {
		return nil, err
	}
	u := c.wireUser(c.who.ID, c.who.Name)
	u.SiteCount = len(sites)
	return u, nil
}

// wireUser is the holder of a token. There are no addresses of people, and clients want one.
func (a *API) wireUser(id, name string) wire.User {
	return wire.User{ID: id, UID: id, FullName: name, Email: name + "@" + a.Account + ".invalid"}
}

func (c *call) accounts() (any, error) { return []wire.Account{c.wireAccount()}, nil }

func (c *call) oneAccount() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	return c.wireAccount(), nil
}

func (a *API) wireAccount() wire.Account {
	return wire.Account{ID: a.Account, Name: a.Account, Slug: a.Account, Type: "weir", TypeName: "Weir",
		RolesAllowed: roles()}
}

func roles() []string {
	var out []string
	for _, r := range access.Roles {
		out = append(out, string(r))
	}
	return out
}

// checkAccount tells of an organisation that is not there.
func (c *call) checkAccount() error {
	id := c.r.PathValue("account_id")
	if id == "" {
		id = c.r.PathValue("account_slug")
	}
	if id != "" && id != c.Account {
		return &weir.Error{Code: weir.NotFound, Message: "there is no organisation " + printable(id), Remedy: "name " + c.Account}
	}
	return nil
}

func (c *call) noTickets() (any, error) {
	return nil, &weir.Error{Code: weir.Invalid, Message: "Weir has no sign-in by browser",
		Remedy: "set NETLIFY_AUTH_TOKEN to a token that weir token create has made"}
}

func (c *call) noBuilds() (any, error) {
	return nil, &weir.Error{Code: weir.Invalid, Message: "Weir builds no sites on the server",
		Remedy: "deploy from the folder of the site: netlify deploy or weir deploy"}
}

func (c *call) noEdge() (any, error) {
	return nil, &weir.Error{Code: weir.Invalid, Message: "Weir runs no edge functions", Remedy: "make it a function, with config.path for its URL"}
}

func (c *call) nothing() (any, error) { return []string{}, nil }
