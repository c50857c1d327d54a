package egress

// This file exists because a header can say something else than the request line: what speaks of one
// connection only, of framing, or of another method or URL than was decided on is not passed on.

import (
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// withheld are the headers that are not passed on to an upstream, by their folded names (see fold):
// those of one connection (RFC 9110, section 7.6.1), those of framing and addressing, which are
// written anew, and those by which common frameworks and proxies replace the method or the URL.
// X-Forwarded-For stays: it replaces neither.
var withheld = set(
	"connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
	"http2-settings", "proxy-authenticate", "proxy-authorization",
	"host", "content-length",
	"x-http-method-override", "x-http-method", "x-method-override", "x-method", "x-original-method",
	"x-original-url", "x-original-uri", "x-original-path", "x-original-host",
	"x-rewrite-url", "x-rewrite-uri", "x-override-url",
	"x-envoy-original-path", "x-envoy-original-method", "x-envoy-original-host",
	"x-forwarded-host", "x-forwarded-server", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-protocol",
	"x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-uri", "x-forwarded-url", "x-forwarded-path",
	"x-forwarded-prefix", "x-forwarded-method", "forwarded",
	"x-host", "x-http-host-override", "x-host-override", "x-http-path-override", "x-http-uri-override",
	"x-url-scheme", "x-http-destinationurl",
	"x-envoy-original-dst-host", "x-forwarded-request-uri", "x-original-request-uri", "x-original-forwarded-host",
	"x-rewrite-path", "x-real-url", "base-url", "request-uri", "http-url", "proxy-url",
	"x-override-method", "x-http-verb", "x-verb", "http-method-override", "method-override", "http-method",
	"x-middleware-rewrite", "x-middleware-subrequest", "x-matched-path", "x-invoke-path", "x-now-route-matches", // Next.js
	"destination", // WebDAV: where COPY and MOVE write (RFC 4918, section 10.3)
)

// ofConnection are the headers of a response that are not passed on to the sandbox: those of one
// connection, and the one by which the egress says that an answer is its own.
var ofConnection = set("weir-denied", "connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-authenticate")

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// longestWithheld is more than the length of any name in withheld.
const longestWithheld = 64

// fold writes a header's name as servers see it that keep headers in variables of the environment
// (RFC 3875, section 4.1.18): to them, X_Original_URL and X-Original-URL are one. Names too long to
// matter give nothing.
func fold(name string, buf *[longestWithheld]byte) []byte {
	if len(name) > len(buf) {
		return nil
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			buf[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			buf[i] = c
		default:
			buf[i] = '-'
		}
	}
	return buf[:len(name)]
}

// passed gives the headers of from that are passed on: not those in drop, not those that Connection
// nominates. Values are shared with from.
func passed(from http.Header, drop map[string]bool) http.Header {
	var buf [longestWithheld]byte
	var nominated map[string]bool
	for _, v := range from["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			if nominated == nil {
				nominated = map[string]bool{}
			}
			nominated[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	to := make(http.Header, len(from)+1)
	for k, v := range from {
		if !nominated[k] && !drop[string(fold(k, &buf))] {
			to[k] = v
		}
	}
	return to
}

// upstreamHeader gives the header of the request that is sent, and the names of the trailers it may
// have.
func upstreamHeader(r *http.Request) (header, trailer http.Header) {
	header = passed(r.Header, withheld)
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = nil // keeps the transport from adding its own
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		header["Te"] = []string{"trailers"} // the only coding that HTTP/2 has; gRPC insists on it
	}
	if len(r.Trailer) == 0 {
		return header, nil
	}
	var buf [longestWithheld]byte
	trailer = make(http.Header, len(r.Trailer))
	for k := range r.Trailer {
		if !withheld[string(fold(k, &buf))] && httpguts.ValidTrailerHeader(k) {
			trailer[k] = nil
		}
	}
	return header, trailer
}

// body passes on a request's body, and at its end the trailers that were announced.
type body struct {
	io.ReadCloser
	from   *http.Request
	to     http.Header
	asked  func() // to be called before the first Read
	budget *account
	done   bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.asked != nil {
		b.asked()
		b.asked = nil
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 && !b.budget.spend(n) {
		return 0, errOverBudget
	}
	if err == io.EOF && !b.done {
		b.done = true
		for k := range b.to {
			for _, v := range b.from.Trailer[k] {
				if v = strings.TrimSpace(v); httpguts.ValidHeaderFieldValue(v) {
					b.to[k] = append(b.to[k], v)
				}
			}
		}
	}
	return n, err
}
