package server

// With which keys the rules of a site sign what they send to other servers.

import (
	"context"
	"fmt"

	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

// signingKey is the key that a variable holds, or why there is none.
type signingKey struct {
	key   string
	fault error // a *weir.Error
}

// signingKeys finds the keys that the rules of a deploy name. A signature tells whether a guess of its key is right, and
// whoever may deploy chooses who gets it. So a secret that functions may see, which policies guard, signs nothing.
func (s *Server) signingKeys(ctx context.Context, d weir.Deploy, rules *routing.Rules) (map[string]signingKey, error) {
	names := rules.Signs()
	if len(names) == 0 {
		return nil, nil
	}
	q := queryOf(d)
	functions, err := s.variables.Resolve(ctx, q)
	if err != nil {
		return nil, err
	}
	q.Scope = "runtime"
	all, err := s.variables.Resolve(ctx, q)
	if err != nil {
		return nil, err
	}
	q.Secrets = false
	open, err := s.variables.Resolve(ctx, q)
	if err != nil {
		return nil, err
	}
	out := map[string]signingKey{}
	for _, name := range names {
		_, plain := open[name]
		_, shared := functions[name]
		switch {
		case all[name] == "":
			out[name] = signingKey{fault: noKey(name)}
		case shared && !plain:
			out[name] = signingKey{fault: &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("the secret %s is for functions, too, so no request is signed with it", name),
				Remedy: "give it the scope runtime alone, or sign with another one"}}
		default:
			out[name] = signingKey{key: all[name]}
		}
	}
	return out, nil
}

func noKey(variable string) error {
	return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("there is no variable %s to sign requests with", variable),
		Remedy: "set it, for the scope runtime; a held deploy has no secrets"}
}

// signer signs what a deploy's rules send to other servers.
func (s *Server) signer(of weir.Site, d weir.Deploy, keys map[string]signingKey) *gateway.Signer {
	return &gateway.Signer{SiteID: of.ID, SiteURL: s.urls.site(of), Context: d.Context, Key: func(variable string) (string, error) {
		return keys[variable].key, keys[variable].fault
	}}
}

// signer signs with the variables of the site's .env files.
func (d *Dev) signer(env map[string]string) *gateway.Signer {
	platform := d.platform()
	return &gateway.Signer{SiteID: platform["SITE_ID"], SiteURL: platform["URL"], Context: "dev", Key: func(variable string) (string, error) {
		if env[variable] == "" {
			return "", noKey(variable)
		}
		return env[variable], nil
	}}
}
