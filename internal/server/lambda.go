package server

// The AWS Lambda Invoke API of a site's published deploy, for who has the right to run its functions with any event.

import (
	"net/http"
	"strings"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/weir"
)

// lambdaPrefix is where the API lies: /lambda/SITE/2015-03-31/functions/…
const lambdaPrefix = "/lambda/"

// lambda answers a request below lambdaPrefix.
func (s *Server) lambda(w http.ResponseWriter, r *http.Request) {
	if err := s.control.Guard(r); err != nil {
		gateway.Fail(w, err)
		return
	}
	_, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, lambdaPrefix), "/")
	if !strings.HasPrefix(rest, "2015-03-31/functions/") && !strings.HasPrefix(rest, "2021-11-15/functions/") {
		gateway.Fail(w, &weir.Error{Code: weir.NotFound, Message: "there is no such call", Remedy: "see the AWS Lambda Invoke API: " + lambdaPrefix + "SITE/2015-03-31/functions/NAME/invocations"})
		return
	}
	m, err := s.lambdaMount(r)
	if err != nil {
		gateway.Fail(w, err)
		return
	}
	defer s.mounts.release(m)
	inner := r.Clone(r.Context())
	inner.URL.Path, inner.URL.RawPath = "/"+rest, ""
	inner.Header.Del("Authorization")
	m.lambda.ServeHTTP(w, inner)
}

// lambdaMount gives the deploy that a request is for, whose user must release it. To who may not know it, a site is
// not there.
func (s *Server) lambdaMount(r *http.Request) (*mount, error) {
	token, err := access.Bearer(r.Header)
	if err != nil {
		return nil, err
	}
	who, err := s.access.Authenticate(r.Context(), token, s.clientAddr(r))
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, lambdaPrefix), "/")
	site, err := s.deploys.Site(r.Context(), name)
	if err != nil || !who.May(access.Read, site.ID) {
		return nil, &weir.Error{Code: weir.NotFound, Message: "there is no site " + weir.Printable(weir.Cut(name, 100)), Remedy: "see weir sites list"}
	}
	if !who.May(access.RunJobs, site.ID) {
		return nil, &weir.Error{Code: weir.Denied, Message: "this token lacks the right to run functions of this site", Remedy: "use one that has it"}
	}
	d, err := s.published.of(r.Context(), site)
	if err != nil {
		return nil, err
	}
	return s.mounts.acquire(r.Context(), d)
}
