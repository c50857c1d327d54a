package api

// One table says which calls there are, what each takes and gives, and who may make it. The document that clients
// read is made of it, too.

import (
	"slices"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
)

// scope is what a call is about, and so for what its author needs the role.
type scope int

const (
	open     scope = iota // nobody is asked for
	anyone                // whoever has a token; the answer is about what they may see
	account               // the whole server
	ofSite                // the site {site_id}
	ofDeploy              // the deploy {deploy_id}, of the site {site_id} if that is named
	ofQuery               // the site that the query names as site_id, or else the whole server
)

// route is one call.
type route struct {
	method, path string // below Prefix; {names} are parameters
	id           string // Netlify's operationId, or Weir's own
	about        string // what it does, in one line
	right        access.Right
	scope        scope
	query        []string // parameters of the query
	in, out      any      // zero values of what it takes and gives, nil for none
	created      bool     // it answers 201
	large        bool     // what it reads or answers may be large: few are done at a time
	do           func(*call) (any, error)
}

// table gives all routes.
func (a *API) table() []route {
	return slices.Concat(accountRoutes, siteRoutes, deployRoutes, uploadRoutes, variableRoutes, a.ownRoutes())
}

var accountRoutes = []route{
	{method: "GET", path: "/user", id: "getCurrentUser", about: "who the token is", scope: anyone, out: wire.User{}, do: (*call).user},
	{method: "GET", path: "/accounts", id: "listAccountsForUser", about: "the organisation", scope: anyone, query: []string{"minimal"}, out: []wire.Account{}, do: (*call).accounts},
	{method: "GET", path: "/accounts/{account_id}", id: "getAccount", about: "the organisation", scope: anyone, out: wire.Account{}, do: (*call).oneAccount},
	{method: "POST", path: "/oauth/tickets", id: "createTicket", about: "a sign-in by browser, which is refused: tokens are made by weir token create", scope: open, query: []string{"client_id"}, do: (*call).noTickets},
}

var siteRoutes = []route{
	{method: "GET", path: "/sites", id: "listSites", about: "all sites that the token may see", scope: anyone, query: []string{"name", "filter", "page", "per_page"}, out: []wire.Site{}, do: (*call).sites},
	{method: "POST", path: "/sites", id: "createSite", about: "a new site", right: access.CreateSite, scope: account, in: wire.NewSite{}, out: wire.Site{}, created: true, do: (*call).createSite},
	{method: "POST", path: "/{account_slug}/sites", id: "createSiteInTeam", about: "a new site", right: access.CreateSite, scope: account, in: wire.NewSite{}, out: wire.Site{}, created: true, do: (*call).createSite},
	{method: "GET", path: "/sites/{site_id}", id: "getSite", about: "a site, by id, name or host name", right: access.Read, scope: ofSite, query: []string{"feature_flags"}, out: wire.Site{}, do: (*call).getSite},
	{method: "PATCH", path: "/sites/{site_id}", id: "updateSite", about: "change a site's name, host names or lock", right: access.ChangeSite, scope: ofSite, in: wire.SiteChange{}, out: wire.Site{}, do: (*call).updateSite},
	{method: "PUT", path: "/sites/{site_id}", id: "replaceSite", about: "the same as updateSite", right: access.ChangeSite, scope: ofSite, in: wire.SiteChange{}, out: wire.Site{}, do: (*call).updateSite},
	{method: "DELETE", path: "/sites/{site_id}", id: "deleteSite", about: "remove a site with all that belongs to it", right: access.DeleteSite, scope: ofSite, do: (*call).deleteSite},
	{method: "GET", path: "/sites/{site_id}/functions", id: "searchSiteFunctions", about: "the functions of the published deploy", right: access.Read, scope: ofSite, out: wire.FunctionList{}, do: (*call).siteFunctions},
	{method: "GET", path: "/sites/{site_id}/files", id: "listSiteFiles", about: "the files of the published deploy, by path", right: access.Read, scope: ofSite, query: []string{"page", "per_page"}, out: []wire.File{}, large: true, do: (*call).files},
	{method: "GET", path: "/sites/{site_id}/files/{file_path...}", id: "getSiteFileByPathName", about: "one of them: what it is, not its content", right: access.Read, scope: ofSite, out: wire.File{}, large: true, do: (*call).file},
	{method: "GET", path: "/sites/{site_id}/service-instances", id: "listServiceInstancesForSite", about: "always empty: there are no add-ons", right: access.Read, scope: ofSite, out: []string{}, do: (*call).nothing},
	{method: "GET", path: "/sites/{site_id}/builds", id: "listSiteBuilds", about: "always empty: sites are built where they are deployed from", right: access.Read, scope: ofSite, out: []string{}, do: (*call).nothing},
	{method: "POST", path: "/sites/{site_id}/builds", id: "createSiteBuild", about: "a build by the server, which is refused", right: access.Deploy, scope: ofSite, do: (*call).noBuilds},
}

var deployRoutes = []route{
	{method: "GET", path: "/sites/{site_id}/deploys", id: "listSiteDeploys", about: "the deploys of a site, the newest first", right: access.Read, scope: ofSite, query: []string{"state", "review", "branch", "page", "per_page"}, out: []wire.Deploy{}, large: true, do: (*call).deploys},
	{method: "POST", path: "/sites/{site_id}/deploys", id: "createSiteDeploy", about: "begin a deploy, and declare its files if the body does", right: access.Deploy, scope: ofSite, query: []string{"title"}, in: wire.NewDeploy{}, out: wire.Deploy{}, large: true, do: (*call).createDeploy},
	{method: "GET", path: "/sites/{site_id}/deploys/{deploy_id}", id: "getSiteDeploy", about: "a deploy", right: access.Read, scope: ofDeploy, out: wire.Deploy{}, large: true, do: (*call).getDeploy},
	{method: "PUT", path: "/sites/{site_id}/deploys/{deploy_id}", id: "updateSiteDeploy", about: "declare the files and functions of a deploy; the answer says which to upload", right: access.Deploy, scope: ofDeploy, in: wire.Declaration{}, out: wire.Deploy{}, large: true, do: (*call).declare},
	{method: "DELETE", path: "/sites/{site_id}/deploys/{deploy_id}", id: "deleteSiteDeploy", about: "remove a deploy that nothing serves", right: access.Rollback, scope: ofDeploy, do: (*call).deleteDeploy},
	{method: "POST", path: "/sites/{site_id}/deploys/{deploy_id}/restore", id: "restoreSiteDeploy", about: "publish a deploy", right: access.Rollback, scope: ofDeploy, out: wire.Deploy{}, do: (*call).restore},
	{method: "PUT", path: "/sites/{site_id}/rollback", id: "rollbackSiteDeploy", about: "publish the deploy that was published before", right: access.Rollback, scope: ofSite, out: wire.Deploy{}, do: (*call).rollback},
	{method: "GET", path: "/deploys/{deploy_id}", id: "getDeploy", about: "a deploy", right: access.Read, scope: ofDeploy, out: wire.Deploy{}, large: true, do: (*call).getDeploy},
	{method: "DELETE", path: "/deploys/{deploy_id}", id: "deleteDeploy", about: "remove a deploy that nothing serves", right: access.Rollback, scope: ofDeploy, do: (*call).deleteDeploy},
	{method: "POST", path: "/deploys/{deploy_id}/cancel", id: "cancelSiteDeploy", about: "give up a deploy that isn't ready", right: access.Deploy, scope: ofDeploy, out: wire.Deploy{}, do: (*call).cancel},
	{method: "POST", path: "/deploys/{deploy_id}/lock", id: "lockDeploy", about: "publish a deploy, and no new one by itself", right: access.Rollback, scope: ofDeploy, out: wire.Deploy{}, do: (*call).lock},
	{method: "POST", path: "/deploys/{deploy_id}/unlock", id: "unlockDeploy", about: "publish new deploys by themselves again", right: access.Rollback, scope: ofDeploy, out: wire.Deploy{}, do: (*call).unlock},
}

var uploadRoutes = []route{
	{method: "PUT", path: "/deploys/{deploy_id}/files/{path...}", id: "uploadDeployFile", about: "upload a declared file", right: access.Deploy, scope: ofDeploy, query: []string{"size"}, in: octets{}, out: wire.Uploaded{}, do: (*call).uploadFile},
	{method: "PUT", path: "/deploys/{deploy_id}/functions/{name}", id: "uploadDeployFunction", about: "upload the archive of a declared function", right: access.Deploy, scope: ofDeploy, query: []string{"runtime", "invocation_mode", "timeout", "size"}, in: octets{}, out: wire.Uploaded{}, do: (*call).uploadFunction},
	{method: "PUT", path: "/deploys/{deploy_id}/edge_functions/{code_sha}", id: "uploadDeployEdgeFunction", about: "an edge function, which is refused: there are none", right: access.Deploy, scope: ofDeploy, in: octets{}, do: (*call).noEdge},
}

var variableRoutes = []route{
	{method: "GET", path: "/accounts/{account_id}/env", id: "getEnvVars", about: "variables of a site, or of the organisation", right: access.Read, scope: ofQuery, query: []string{"site_id", "context_name", "scope"}, out: []wire.Variable{}, do: (*call).variables},
	{method: "POST", path: "/accounts/{account_id}/env", id: "createEnvVars", about: "set variables", right: access.SetVariables, scope: ofQuery, query: []string{"site_id"}, in: []wire.Variable{}, out: []wire.Variable{}, created: true, do: (*call).createVariables},
	{method: "GET", path: "/accounts/{account_id}/env/{key}", id: "getEnvVar", about: "one variable", right: access.Read, scope: ofQuery, query: []string{"site_id"}, out: wire.Variable{}, do: (*call).variable},
	{method: "PUT", path: "/accounts/{account_id}/env/{key}", id: "updateEnvVar", about: "set all of a variable", right: access.SetVariables, scope: ofQuery, query: []string{"site_id"}, in: wire.Variable{}, out: wire.Variable{}, do: (*call).updateVariable},
	{method: "PATCH", path: "/accounts/{account_id}/env/{key}", id: "setEnvVarValue", about: "set the value of a variable in one context", right: access.SetVariables, scope: ofQuery, query: []string{"site_id"}, in: wire.Value{}, out: wire.Variable{}, created: true, do: (*call).setValue},
	{method: "DELETE", path: "/accounts/{account_id}/env/{key}", id: "deleteEnvVar", about: "remove a variable", right: access.SetVariables, scope: ofQuery, query: []string{"site_id"}, do: (*call).deleteVariable},
	{method: "DELETE", path: "/accounts/{account_id}/env/{key}/value/{id}", id: "deleteEnvVarValue", about: "remove the value of a variable in one context", right: access.SetVariables, scope: ofQuery, query: []string{"site_id"}, do: (*call).deleteValue},
}
