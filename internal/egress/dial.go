package egress

// This file exists because where a connection goes must be settled once: a name is resolved outside
// the sandbox, its addresses are filtered, and exactly these are dialled. A second resolution could
// give another answer.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Times of one upstream connection.
const (
	dialTime    = 10 * time.Second       // until it stands
	dialStagger = 250 * time.Millisecond // before the next address is tried beside (RFC 8305, section 5)
	maxAddrs    = 8                      // addresses of one name that are tried
)

// filteredError is an allowed request whose host leads to an address that it must not reach.
type filteredError struct {
	host  string
	class class
}

func (e *filteredError) Error() string {
	return fmt.Sprintf("%s leads to %s, which is out of reach", e.host, e.class)
}

// resolveError is a host that has no address. What the resolver said stays here: it may name
// machines of the inside.
type resolveError struct{ host string }

func (e *resolveError) Error() string { return e.host + " has no address" }

// addresses gives what to dial for a canonical host and port, in the order to try. named tells whether
// a rule names them, not by a wildcard.
func (f *Function) addresses(ctx context.Context, host string, port uint16, named bool) ([]netip.AddrPort, error) {
	if to, ok := f.egress.override(host, port); ok {
		return []netip.AddrPort{to}, nil
	}
	var found []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		found = []netip.Addr{a}
	} else if found, err = f.egress.lookup(ctx, host); err != nil || len(found) == 0 {
		return nil, &resolveError{host}
	}
	var list []netip.AddrPort
	for _, a := range found {
		if a = a.Unmap(); f.permit(host, named, a) && len(list) < maxAddrs {
			list = append(list, netip.AddrPortFrom(a, port))
		}
	}
	if len(list) == 0 {
		return nil, &filteredError{host, classify(found[0])}
	}
	return list, nil
}

// lookup asks the machine's resolver. The name is rooted: no search domain is tried.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if host == "localhost" { // never anything else (RFC 6761, section 6.3)
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host+".")
}

// dial connects to a host, for http.Transport, which gives "host:port" of a canonical URL.
func (f *Function) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := whileWanted(ctx)
	defer cancel()
	return f.dialAddress(ctx, address)
}

// tlsDialer is dial with a TLS handshake.
func (f *Function) tlsDialer(config *tls.Config) func(ctx context.Context, _, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		ctx, cancel := whileWanted(ctx)
		defer cancel()
		raw, err := f.dialAddress(ctx, address)
		if err != nil {
			return nil, err
		}
		c := config.Clone()
		c.ServerName, _, _ = net.SplitHostPort(address)
		conn := tls.Client(raw, c)
		ctx, done := context.WithTimeout(ctx, dialTime)
		defer done()
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		return conn, nil
	}
}

// requestKey is the key of a request's own context in that of its dial.
type requestKey struct{}

// whileWanted gives a context that ends with the request that a dial is for. http.Transport lets a
// dial outlive its request: who begins requests and takes them back would have dials without end.
func whileWanted(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	request, ok := ctx.Value(requestKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(request, cancel)
	return ctx, func() { stop(); cancel() }
}

func (f *Function) dialAddress(ctx context.Context, address string) (net.Conn, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}
	return f.dialHost(ctx, host, uint16(port))
}

// dialHost connects to a canonical host and port. The error is a *filteredError, a *resolveError,
// errCrowded, or that of the network.
func (f *Function) dialHost(ctx context.Context, host string, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addrs, err := f.addresses(ctx, host, port, f.engine.Names(host, port))
	if err != nil {
		return nil, err
	}
	return f.dialFirst(ctx, addrs)
}

// dialFirst tries the addresses, the next one when an attempt fails or takes long, and gives the
// first connection that stands. An attempt beside another waits for no place.
func (f *Function) dialFirst(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn *outside
		err  error
	}
	results := make(chan result, len(addrs))
	start := func(a netip.AddrPort) {
		c, err := f.dialPlaced(ctx, a)
		results <- result{c, err}
	}
	timer := time.NewTimer(dialStagger)
	defer timer.Stop()
	var errs []error
	for next, running := 0, 0; ; {
		if next < len(addrs) {
			switch err := f.takePlace(ctx, running == 0); {
			case err == nil:
				go start(addrs[next])
				next++
				running++
			case running == 0:
				return nil, err
			}
			timer.Reset(dialStagger)
		}
		select {
		case r := <-results:
			running--
			if r.err == nil {
				go func() { // what else still connects is not needed
					for range running {
						if late := <-results; late.conn != nil {
							late.conn.Close()
						}
					}
				}()
				return r.conn, nil
			}
			errs = append(errs, r.err)
			if running == 0 && next == len(addrs) {
				return nil, errors.Join(errs...)
			}
		case <-timer.C:
		}
	}
}
