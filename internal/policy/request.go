// This file exists because there is exactly one way from hostile text to a Request: what is decided
// on and what is forwarded come out of the same parser.

package policy

import (
	"path"
	"strconv"
	"strings"
)

// NewHTTP makes the request of an HTTP message: method as sent, scheme "http" or "https", authority
// as in Host or :authority, target in origin form (RFC 9112, section 3.2.1). The path and query of
// the URL are what must be forwarded. The error is an *Ambiguous.
func NewHTTP(method, scheme, authority, target string) (Request, error) {
	if scheme != "http" && scheme != "https" {
		return Request{}, ambiguous("the scheme is neither http nor https")
	}
	if !isToken(method) {
		return Request{}, ambiguous("the method is not a token")
	}
	if method == "CONNECT" {
		return Request{}, ambiguous("CONNECT asks for a proxy, which this is not")
	}
	u, err := newURL(scheme, authority, target)
	return Request{Kind: HTTP, Method: method, URL: u}, err
}

// NewWS makes the request of a WebSocket handshake (RFC 6455, section 4.1; RFC 8441): scheme "ws" or
// "wss", the rest as for NewHTTP. The error is an *Ambiguous.
func NewWS(scheme, authority, target string) (Request, error) {
	if scheme != "ws" && scheme != "wss" {
		return Request{}, ambiguous("the scheme is neither ws nor wss")
	}
	u, err := newURL(scheme, authority, target)
	return Request{Kind: WS, Method: "GET", URL: u}, err
}

// NewTCP makes the request of a connection to a name or address. The error is an *Ambiguous.
func NewTCP(host string, port uint16) (Request, error) {
	if port == 0 {
		return Request{}, ambiguous("the port is 0")
	}
	h, err := CanonicalHost(host)
	return Request{Kind: TCP, Host: h, Port: port}, err
}

// NewUDP makes the request of sending datagrams to a name or address. The error is an *Ambiguous.
func NewUDP(host string, port uint16) (Request, error) {
	r, err := NewTCP(host, port)
	r.Kind = UDP
	return r, err
}

// NewDNS makes the request of a DNS question of class IN: typ is the type's name ("TXT"; see
// DNSType), name the name with or without the final dot. The error is an *Ambiguous.
func NewDNS(typ, name string) (Request, error) {
	if !isMethod(typ) || typ != strings.ToUpper(typ) {
		return Request{}, ambiguous("the type of the DNS question is not a type's name")
	}
	n, err := canonicalName(strings.TrimSuffix(name, "."))
	return Request{Kind: DNS, Type: typ, Host: n}, err
}

// NewFile makes the request of reading or writing a file, starting a program or loading a native
// library (k is Read, Write, Exec or Addon) by its absolute path. A program may also be a bare name,
// as programs are tried along PATH; no rule allows one. The error is an *Ambiguous.
func NewFile(k Kind, name string) (Request, error) {
	bare := k == Exec && name != "" && name != "." && name != ".." && strings.IndexByte(name, '/') < 0
	switch {
	case k != Read && k != Write && k != Exec && k != Addon:
		return Request{}, ambiguous("this kind of request has no path")
	case strings.IndexByte(name, 0) >= 0:
		return Request{}, ambiguous("the path holds a NUL byte")
	case !bare && (!strings.HasPrefix(name, "/") || path.Clean(name) != name):
		return Request{}, ambiguous("the path is not a clean absolute path")
	}
	return Request{Kind: k, Path: name}, nil
}

// maxPath bounds a path, and with it the time of a decision. Common servers refuse longer ones.
const maxPath = 8192

func newURL(scheme, authority, target string) (URL, error) {
	host, port, err := splitAuthority(authority)
	if err != nil {
		return URL{}, err
	}
	if port == 0 {
		port = defaultPort(scheme)
	}
	if !strings.HasPrefix(target, "/") {
		return URL{}, ambiguous("the request target does not start with a slash")
	}
	p, query, _ := strings.Cut(target, "?")
	if len(p) > maxPath {
		return URL{}, ambiguous("the path is longer than 8192 bytes")
	}
	if p, err = canonicalPath(p); err != nil {
		return URL{}, err
	}
	if err := checkQuery(query); err != nil {
		return URL{}, err
	}
	return URL{Scheme: scheme, Host: host, Port: port, Path: p, Query: query}, nil
}

// isToken tells whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" || scheme == "wss" {
		return 443
	}
	return 80
}

// Authority gives the host, in brackets if it is IPv6, and ":port" unless it is the scheme's default.
func (u URL) Authority() string {
	h := bracketed(u.Host)
	if u.Port == defaultPort(u.Scheme) {
		return h
	}
	return h + ":" + strconv.Itoa(int(u.Port))
}

// String gives the whole URL with its query, which may hold secrets.
func (u URL) String() string {
	s := u.Scheme + "://" + u.Authority() + u.Path
	if u.Query != "" {
		s += "?" + u.Query
	}
	return s
}

func bracketed(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		return "[" + host + "]"
	}
	return host
}
