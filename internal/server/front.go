package server

// Requests for sites: the host says which deploy answers.

import (
	"context"
	"net/http"

	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/weir"
)

// front answers for all sites. Each request may need a file or a connection to an upstream, and a connection by HTTP/2
// carries hundreds of them.
func (s *Server) front(w http.ResponseWriter, r *http.Request) {
	client := gateway.ClientOf(s.clientAddr(r), s.o.TrustedProxies)
	if !s.requests.Take(client, 1) {
		gateway.Fail(w, &weir.Error{Code: weir.Unavailable, Message: "there are too many requests at the moment", Remedy: "try again"})
		return
	}
	defer s.requests.Give(client, 1)
	m, err := s.mountOf(r)
	if err != nil {
		gateway.Fail(w, err)
		return
	}
	defer s.mounts.release(m)
	m.handler.ServeHTTP(w, r)
}

// mountOf gives the deploy that a request is for, whose user must release it.
func (s *Server) mountOf(r *http.Request) (*mount, error) {
	site, id, err := s.hosts.find(r.Host)
	if err != nil {
		return nil, &weir.Error{Code: weir.NotFound, Message: "there is no site at this host name", Remedy: "check the URL"}
	}
	if id == "" {
		d, err := s.published.of(r.Context(), site)
		if err != nil {
			return nil, err
		}
		return s.mounts.acquire(r.Context(), d)
	}
	return s.mountOfDeploy(r.Context(), site.ID, id)
}

// mountOfDeploy gives one deploy of a site, whose user must release it.
func (s *Server) mountOfDeploy(ctx context.Context, site, id string) (*mount, error) {
	d, err := s.deploys.SiteDeploy(ctx, site, id)
	if err != nil {
		return nil, err
	}
	if d.State != weir.DeployReady {
		return nil, &weir.Error{Code: weir.NotFound, Message: "this deploy is not ready", Remedy: "see its state: weir deploys show " + d.ID}
	}
	if d.Review == weir.ReviewRejected {
		return nil, &weir.Error{Code: weir.Denied, Message: "this deploy was rejected", Remedy: "deploy the site again without what was not approved"}
	}
	return s.mounts.acquire(ctx, d)
}
