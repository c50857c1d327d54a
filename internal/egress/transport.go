package egress

// This file exists because a site's own rules send requests elsewhere, too, not for a function: whoever writes them
// must not reach the inside of the server's network either.

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
)

// Transport carries the requests that rules of a site send to other servers. A name is resolved once, only public
// addresses of it are dialled, and redirects are not followed. With allowPrivate, a private address may be reached as
// well, and this machine by a URL that names localhost or the very address; never a neighbour on the link or a
// cloud's metadata service. Options.Resolve counts for it, too. The error for an address out of reach
// says so, and of what kind it is.
func (e *Egress) Transport(allowPrivate bool) http.RoundTripper {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return e.dialOut(ctx, address, allowPrivate)
		},
		TLSClientConfig:        &tls.Config{RootCAs: e.roots},
		HTTP2:                  http2Bounds(),
		TLSHandshakeTimeout:    dialTime,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // the client says what it takes
		MaxIdleConns:           upstreamIdleConns,
		MaxIdleConnsPerHost:    upstreamIdleHost,
		IdleConnTimeout:        upstreamIdle,
		ExpectContinueTimeout:  continueTime,
		MaxResponseHeaderBytes: upstreamHeaderSize,
	}
}

// dialOut connects to the first address of a host that answers.
func (e *Egress) dialOut(ctx context.Context, address string, allowPrivate bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addrs, err := e.outside(ctx, address, allowPrivate)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range addrs {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", a.String())
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// outside gives the addresses of a host and port that may be dialled.
func (e *Egress) outside(ctx context.Context, address string, allowPrivate bool) ([]netip.AddrPort, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}
	port := uint16(number)
	if to, ok := e.override(host, port); ok {
		return []netip.AddrPort{to}, nil
	}
	literal, err := netip.ParseAddr(host)
	found := []netip.Addr{literal}
	if err != nil {
		if found, err = e.lookup(ctx, host); err != nil || len(found) == 0 {
			return nil, &resolveError{host}
		}
	}
	var list []netip.AddrPort
	for _, a := range found {
		if a = a.Unmap(); reachable(host, literal.Unmap(), a, allowPrivate) && len(list) < maxAddrs {
			list = append(list, netip.AddrPortFrom(a, port))
		}
	}
	if len(list) == 0 {
		return nil, &filteredError{host, classify(found[0])}
	}
	return list, nil
}

// reachable tells whether an address of a host may be dialled for a site's rule; literal is the host if it is an
// address.
func reachable(host string, literal, a netip.Addr, allowPrivate bool) bool {
	switch classify(a) {
	case public:
		return true
	case private:
		return allowPrivate
	case loopback:
		return allowPrivate && (host == "localhost" || literal == a)
	}
	return false
}
