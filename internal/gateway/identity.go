package gateway

// Netlify Identity: a caller's JSON Web Token becomes context.clientContext, but only if its
// signature is verified with a key that was configured. A token that isn't is just a header.

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-run/weir/internal/weir"
)

// minSecret is the shortest secret for HS256, in bytes: as long as its digest (RFC 7518, section 3.2).
const minSecret = 32

// IdentityVerifier verifies tokens with one key.
type IdentityVerifier struct {
	key    any
	method string // the one algorithm that fits the key: no token chooses another
}

// NewIdentityVerifier takes a PEM public key (RSA for RS256, P-256 for ES256), or else a secret for
// HS256, blanks around it cut off. The error is a weir.Invalid.
func NewIdentityVerifier(key []byte) (*IdentityVerifier, error) {
	bad := func(why string) (*IdentityVerifier, error) {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the identity key can't be used: " + why,
			Remedy: "give a PEM public key (RSA or P-256), or a secret of at least 32 bytes for HS256"}
	}
	block, _ := pem.Decode(key)
	if block == nil {
		if bytes.Contains(key, []byte("-----BEGIN")) {
			return bad("it is a broken PEM file")
		}
		secret := bytes.TrimSpace(key)
		if len(secret) < minSecret {
			return bad("the secret is too short")
		}
		return &IdentityVerifier{secret, "HS256"}, nil
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return bad("it is not a public key")
	}
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return &IdentityVerifier{k, "RS256"}, nil
	case *ecdsa.PublicKey:
		if k.Params().BitSize == 256 {
			return &IdentityVerifier{k, "ES256"}, nil
		}
	}
	return bad("it is neither RSA nor P-256")
}

// clientContext gives what Netlify gives for a verified token, nil for any other.
func (v *IdentityVerifier) clientContext(token, site string) []byte {
	claims := v.claims(token)
	if claims == nil {
		return nil
	}
	identity := map[string]any{"url": site + "/.netlify/identity", "token": token}
	inner, err := json.Marshal(map[string]any{"identity": identity, "user": claims})
	if err != nil {
		return nil
	}
	out, err := json.Marshal(map[string]any{"identity": identity, "user": claims,
		"custom": map[string]string{"netlify": base64.StdEncoding.EncodeToString(inner)}})
	if err != nil {
		return nil
	}
	return out
}

// identityInfo gives what functions v2 are told of a verified caller by the header x-nf-identity-info: the same, in
// another shape, as base64 of JSON.
func identityInfo(clientContext []byte) (string, error) {
	var c struct {
		Identity struct {
			URL   string `json:"url"`
			Token string `json:"token"`
		} `json:"identity"`
		User json.RawMessage `json:"user"`
	}
	if err := json.Unmarshal(clientContext, &c); err != nil {
		return "", err
	}
	info, err := json.Marshal(map[string]any{"url": c.Identity.URL, "token": c.Identity.Token, "user": c.User})
	return base64.StdEncoding.EncodeToString(info), err
}

// claims gives what a verified token says, nil for any other.
func (v *IdentityVerifier) claims(token string) jwt.MapClaims {
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(token, claims, v.keyFor,
		jwt.WithValidMethods([]string{v.method}), jwt.WithExpirationRequired())
	if err != nil {
		return nil
	}
	return claims
}

// keyFor gives the key for a token, which must ask for nothing else to be understood (RFC 7515, section 4.1.11).
func (v *IdentityVerifier) keyFor(token *jwt.Token) (any, error) {
	if _, critical := token.Header["crit"]; critical {
		return nil, errors.New("the token asks for an extension")
	}
	return v.key, nil
}

// roles gives the roles that the first verified token of several says, as Netlify Identity writes them:
// app_metadata.authorization.roles, or app_metadata.roles. A nil verifier verifies none.
func (v *IdentityVerifier) roles(tokens ...string) []string {
	if v == nil {
		return nil
	}
	for _, token := range tokens {
		claims := v.claims(token)
		if claims == nil {
			continue
		}
		metadata, _ := claims["app_metadata"].(map[string]any)
		list, ok := metadata["roles"].([]any)
		if authorization, _ := metadata["authorization"].(map[string]any); !ok {
			list, _ = authorization["roles"].([]any)
		}
		var roles []string
		for _, r := range list {
			if role, ok := r.(string); ok {
				roles = append(roles, role)
			}
		}
		return roles
	}
	return nil
}
