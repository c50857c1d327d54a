package server

// The control API, joined to the parts that do the work.

import (
	"net/http"
	"strings"

	"github.com/weir-run/weir/internal/api"
	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/weir"
)

// openAPI makes the handler of the API.
func (s *Server) openAPI() (err error) {
	s.control, err = api.New(api.Options{
		Sites:   s.deploys,
		Deploys: s.deploys,
		Access:  s.access,
		Journal: s.journal,
		Environ: s.variables,
		Jobs:    s.jobs,
		Logs:    s.logs,

		SiteURL:   s.urls.site,
		DeployURL: s.deployURL,
		URL:       s.APIAddr(),
		Hosts:     s.o.APIHosts,
		Account:   account,

		ClientAddr: s.clientAddr,
		Leaving:    s.leaving.Load,
		Version:    weir.Version(),
		Logger:     s.o.Logger,
	})
	return err
}

// clientAddr is the address of who sent a request to the API.
func (s *Server) clientAddr(r *http.Request) string { return gateway.ClientAddr(r, s.o.TrustedProxies) }

// deployURL is where a deploy is found, whatever is published: by its alias, if that leads there or will.
func (s *Server) deployURL(site weir.Site, d weir.Deploy) string {
	if d.Alias != "" && (d.State != weir.DeployReady || site.Aliases[d.Alias] == d.ID) {
		return s.urls.deploy(site, d.Alias)
	}
	return s.urls.deploy(site, d.ID)
}

// controlled answers for the API once there is one.
func (s *Server) controlled(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, lambdaPrefix) {
		s.lambda(w, r)
		return
	}
	s.control.ServeHTTP(gateway.PaceAnswer(w, r), r)
}
