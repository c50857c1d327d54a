package gateway

// Signed proxies: an upstream can tell by a header that a request comes by way of the site, and of no other client
// (docs.netlify.com, "Rewrites and proxies": signed proxy redirects; netlify-cli, utils/sign-redirect).

import (
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-run/weir/internal/weir"
)

const (
	signHeader = "X-Nf-Sign"
	signedFor  = 5 * time.Minute // as by Netlify
)

// Signer makes the JSON Web Signatures by which upstreams know a site.
type Signer struct {
	SiteID  string
	SiteURL string
	Context string // of the deploy
	// Key gives the key that a variable of the site holds. The error is a *weir.Error: why there is none.
	Key func(variable string) (string, error)
}

// sign gives the signature of a request at a time. The error is a *weir.Error.
func (s *Signer) sign(variable string, at time.Time) (string, error) {
	if s == nil {
		return "", &weir.Error{Code: weir.Unavailable, Message: "this server signs no requests"}
	}
	key, err := s.Key(variable)
	if err != nil {
		return "", err
	}
	claims := jwt.MapClaims{"deploy_context": s.Context, "netlify_id": s.SiteID, "site_url": s.SiteURL, "iss": "netlify",
		"iat": at.Unix(), "exp": at.Add(signedFor).Unix()}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key))
}
