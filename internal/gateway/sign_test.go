package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-run/weir/internal/weir"
)

// TestUpstreamsKnowASignedRequest verifies as an upstream does that knows the key (netlify-cli, utils/sign-redirect).
func TestUpstreamsKnowASignedRequest(t *testing.T) {
	var got []string
	site := proxied(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Values("X-Nf-Sign") },
		"signed = \"UP_KEY\"\nheaders = {x-nf-sign = \"of the rule\"}\n")
	key := "what only the upstream knows"
	for range 20 { // in whatever order the headers of the rule come
		w := answerTo(request("GET", "/up/x", "", "X-Nf-Sign: forged"), site, func(o *Options) {
			o.Signer = &Signer{SiteID: "id", SiteURL: "http://shop.localhost", Context: "production", Key: func(name string) (string, error) {
				return map[string]string{"UP_KEY": key}[name], nil
			}}
		})
		if w.Code != 200 || len(got) != 1 || strings.Count(got[0], ".") != 2 {
			t.Fatalf("%d, the upstream got %q", w.Code, got)
		}
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(got[0], claims, func(*jwt.Token) (any, error) { return []byte(key), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer("netlify"), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil || claims["netlify_id"] != "id" || claims["site_url"] != "http://shop.localhost" || claims["deploy_context"] != "production" {
		t.Errorf("%v %v", err, claims)
	}
	if until, _ := claims.GetExpirationTime(); until == nil || until.After(time.Now().Add(signedFor)) {
		t.Errorf("it holds until %v", until)
	}
}

// TestNothingGoesOutUnsigned: an upstream that trusts the signature is not asked without one, and the answer names no
// variable.
func TestNothingGoesOutUnsigned(t *testing.T) {
	asked := false
	site := proxied(t, func(http.ResponseWriter, *http.Request) { asked = true }, "signed = \"UP_KEY\"\n")
	for name, signer := range map[string]*Signer{"no signer": nil, "no key": {Key: func(name string) (string, error) {
		return "", &weir.Error{Code: weir.Invalid, Message: "there is no " + name}
	}}} {
		w := answerTo(request("GET", "/up/x", ""), site, func(o *Options) { o.Signer = signer })
		if w.Code != 502 || asked || strings.Contains(w.Body.String(), "UP_KEY") {
			t.Errorf("%s: %d %s, asked: %v", name, w.Code, w.Body, asked)
		}
	}
}
