package gateway

// Who asks, and from where: the client's address, scheme, language and country.

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client is what the gateway knows of who sent a request.
type client struct {
	addr   string // an IP address, or whatever the connection has for one
	peer   string // that of the connection: the client's, or a proxy's
	scheme string // "http" or "https"
	behind bool   // the connection is a trusted proxy's
}

// clientOf tells who sent a request. What a proxy says counts only if it is trusted, and of X-Forwarded-For only what
// trusted ones have added.
func (g *gateway) clientOf(r *http.Request) client { return clientOf(r, g.TrustedProxies) }

// roomFor gives who takes room for a request, "" if that may be many.
func (g *gateway) roomFor(r *http.Request) string {
	return ClientOf(g.clientOf(r).addr, g.TrustedProxies)
}

// ClientAddr gives the address of who sent a request, behind these proxies.
func ClientAddr(r *http.Request, trusted []netip.Prefix) string { return clientOf(r, trusted).addr }

func clientOf(r *http.Request, trusted []netip.Prefix) client {
	c := client{addr: r.RemoteAddr, scheme: "http"}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.addr = host
	}
	c.peer = c.addr
	if r.TLS != nil {
		c.scheme = "https"
	}
	if c.behind = trusts(trusted, c.addr); !c.behind {
		return c
	}
	if proto := r.Header.Get("X-Forwarded-Proto"); proto == "http" || proto == "https" {
		c.scheme = proto
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		if c.addr = addr.Unmap().String(); !trusts(trusted, c.addr) {
			break
		}
	}
	return c
}

// trusts tells whether an address is a proxy's that says the truth.
func trusts(trusted []netip.Prefix, addr string) bool {
	if len(trusted) == 0 {
		return false
	}
	a, err := netip.ParseAddr(addr)
	return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a.Unmap().WithZone("")) })
}

// language gives the tag of the language that a client likes best, by its cookie nf_lang or its browser's settings.
func language(r *http.Request) string {
	if lang := cookie(r, "nf_lang"); lang != "" {
		return lang
	}
	first, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
	first, _, _ = strings.Cut(first, ";")
	return strings.TrimSpace(first)
}

// country gives where a client is, by its cookie nf_country or by what a trusted proxy says.
func (g *gateway) country(r *http.Request, c client) string {
	if country := cookie(r, "nf_country"); country != "" {
		return country
	}
	if c.behind && g.CountryHeader != "" {
		return r.Header.Get(g.CountryHeader)
	}
	return ""
}

// cookie gives the value of a cookie, "" if there is none.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}
