package server

// The URLs that lead to sites, as clients and functions are told them.

import (
	"net/url"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// urls makes URLs of sites. The zero value makes none that lead anywhere.
type urls struct{ scheme, domain, port string }

// parseURLs reads "https://*.example.com:8443": the star stands for a site's name.
func parseURLs(pattern string) (urls, error) {
	u, err := url.Parse(pattern)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.HasPrefix(u.Hostname(), "*.") || strings.Count(pattern, "*") != 1 ||
		u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" || strings.ToLower(u.Host) != u.Host {
		return urls{}, &weir.Error{Code: weir.Invalid, Message: "the URL of sites can't be " + pattern, Remedy: "write it as in https://*.example.com"}
	}
	out := urls{scheme: u.Scheme, domain: strings.TrimPrefix(u.Hostname(), "*."), port: u.Port()}
	if out.port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		out.port = ""
	}
	return out, nil
}

func (u urls) of(host string) string {
	if u.port != "" {
		host += ":" + u.port
	}
	return u.scheme + "://" + host
}

// site gives the production URL of a site.
func (u urls) site(s weir.Site) string {
	if len(s.Domains) > 0 {
		return u.of(s.Domains[0])
	}
	return u.of(s.Name + "." + u.domain)
}

// deploy gives the URL of a deploy, by its id or an alias.
func (u urls) deploy(s weir.Site, idOrAlias string) string {
	return u.of(idOrAlias + "--" + s.Name + "." + u.domain)
}
