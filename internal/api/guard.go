package api

// A page in a browser must not drive the API, whatever it can make the browser send.

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// Guard refuses what a page of another origin sends, and names by which nobody calls the API: a page's own name that
// was made to lead here (DNS rebinding). ServeHTTP does it, too. The error is a weir.Denied.
func (a *API) Guard(r *http.Request) error {
	host := hostname(r.Host)
	if host == "" && r.URL.Path == Prefix+healthPath {
		return nil // no browser names no host, but load balancers do
	}
	if !a.knows(host) {
		return &weir.Error{Code: weir.Denied, Message: "the API is not called by the name " + printable(host),
			Remedy: "start the server with --api-host " + printable(host) + ", or call it by its address"}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return errForeign
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
		return errForeign
	}
	return nil
}

var errForeign = &weir.Error{Code: weir.Denied, Message: "a page of another origin may not call the API"}

func (a *API) knows(host string) bool {
	if host == "localhost" || slices.Contains(a.Hosts, host) || slices.Contains(a.Hosts, "*") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// hostname gives a Host without its port, in lower case and without the brackets of an address.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
