package egress

// This file exists because an allowed request is not passed through but made anew, from the very
// values that were decided on, and its response is streamed as it comes.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-run/weir/internal/policy"
)

// headerDelay is how long the header of a response of known length waits for the first of the body,
// so that both go out in one packet.
const headerDelay = 5 * time.Millisecond

// outgoing makes the request that is sent for one that was decided on.
func outgoing(r *http.Request, req *policy.Request, budget *account) (*http.Request, *body) {
	scheme := strings.Replace(req.URL.Scheme, "ws", "http", 1)
	header, trailer := upstreamHeader(r)
	out := &http.Request{
		Method:     req.Method,
		Proto:      "HTTP/1.1", // at least; the transport for HTTP/1 looks here before it awaits a 100
		ProtoMajor: 1,
		ProtoMinor: 1,
		// Opaque is written as it stands (net/url, URL.RequestURI): no other encoding comes in between.
		URL:           &url.URL{Scheme: scheme, Host: req.URL.Authority(), Opaque: req.URL.Path, RawQuery: req.URL.Query},
		Host:          req.URL.Authority(),
		Header:        header,
		Trailer:       trailer,
		ContentLength: r.ContentLength,
	}
	if r.ContentLength == 0 {
		return out, nil
	}
	b := &body{ReadCloser: r.Body, from: r, to: trailer, budget: budget}
	out.Body = b
	if r.ContentLength < 0 {
		out.TransferEncoding = []string{"chunked"}
	}
	return out, b
}

// byTransport sends a request by t, until ctx ends.
func byTransport(ctx context.Context, t *http.Transport, out *http.Request) (*http.Response, error) {
	return t.RoundTrip(out.WithContext(context.WithValue(ctx, requestKey{}, ctx)))
}

// forward carries out an allowed request.
func (c *conn) forward(w http.ResponseWriter, r *http.Request, req *policy.Request, budget *account) {
	info := &informer{w: w, active: r.ProtoAtLeast(1, 1), survive: c.sandbox.survive}
	out, sent := outgoing(r, req, budget)
	if sent != nil && r.ProtoMajor == 1 {
		defer c.watch()()
		if r.Header.Get("Expect") != "" {
			sent.asked = info.proceed
		}
	}
	resp, err := c.carryOut(w, r, req, out, info)
	info.stop()
	if err != nil && budget.wasCut() {
		c.tellDenial(w, r, req, budget.over(budget.cut.Load()))
		return
	}
	if err != nil {
		c.failed(w, r, req, err)
		return
	}
	defer resp.Body.Close()
	if !final(resp) {
		c.failed(w, r, req, errBadAnswer)
		return
	}
	if !pass(w, r, resp, budget) {
		panic(http.ErrAbortHandler) // the client must see that something is missing
	}
	if sent != nil && r.ProtoMajor == 1 {
		// The response came before the end of the request. The rest is given a moment, no more.
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingerTime))
	}
}

// carryOut sends a request by the version of HTTP that it came by, and gives the response.
func (c *conn) carryOut(w http.ResponseWriter, r *http.Request, req *policy.Request, out *http.Request, info *informer) (*http.Response, error) {
	f := c.sandbox.function
	transport := f.http1
	switch {
	case r.ProtoMajor == 2:
		transport = f.http2
		http.NewResponseController(w).SetWriteDeadline(time.Time{})
	case r.Header.Get("Expect") == "":
		return f.roundTrip(r.Context(), out, place{c.secure, hostPort(req.URL.Host, req.URL.Port)}, info)
	}
	trace := &httptrace.ClientTrace{Got1xxResponse: info.pass}
	return byTransport(httptrace.WithClientTrace(r.Context(), trace), transport, out)
}

// final tells whether a response ends its request. What asks for another protocol was not asked for;
// other statuses mean nothing (RFC 9110, section 15).
func final(resp *http.Response) bool { return resp.StatusCode >= 200 && resp.StatusCode <= 999 }

// informer passes on responses that only inform (RFC 9110, section 15.2). 100 is not among them: it
// is sent when the body is asked for, which is when the upstream has sent its own. Both happen on
// goroutines of the transport, at the same time if the upstream likes, and with nobody to catch a
// panic.
type informer struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	active  bool
	survive func()
}

// proceed asks an HTTP/1 client for its body. The server would do so by itself when the body is read,
// but without regard to what else is being written.
func (i *informer) proceed() {
	defer i.survive()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.active {
		i.w.WriteHeader(http.StatusContinue)
	}
}

func (i *informer) pass(code int, header textproto.MIMEHeader) error {
	defer i.survive()
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.active || code == http.StatusContinue {
		return nil
	}
	h := i.w.Header()
	for k, v := range passed(http.Header(header), ofConnection) {
		h[k] = v
	}
	i.w.WriteHeader(code)
	clear(h)
	return nil
}

func (i *informer) stop() {
	i.mu.Lock()
	i.active = false
	i.mu.Unlock()
}

// pass gives an upstream's response to the client; false if it broke off.
func pass(w http.ResponseWriter, r *http.Request, resp *http.Response, budget *account) bool {
	h := w.Header()
	for k, v := range passed(resp.Header, ofConnection) {
		h[k] = v
	}
	for _, k := range []string{"Date", "Content-Type"} {
		if _, ok := h[k]; !ok {
			h[k] = nil // keeps the server from adding its own
		}
	}
	announced := passed(resp.Trailer, ofConnection)
	for k := range announced {
		h.Add("Trailer", k)
	}
	w.WriteHeader(resp.StatusCode)
	if !passBody(w, r, resp, budget) {
		return false
	}
	trailer := passed(resp.Trailer, ofConnection)
	if len(trailer) > 0 {
		http.NewResponseController(w).Flush() // or a short body would get a length and no trailers
	}
	for k, v := range trailer {
		if len(announced) != len(trailer) {
			k = http.TrailerPrefix + k
		}
		h[k] = v
	}
	return true
}

// bodyBuffer is how much of a response's body is passed on at once, in bytes.
const bodyBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { return new([bodyBuffer]byte) }}

// passBody streams a response's body: what has come is sent at once.
func passBody(w http.ResponseWriter, r *http.Request, resp *http.Response, budget *account) bool {
	rc := http.NewResponseController(w)
	var mu sync.Mutex // the timer's turn or ours
	begun := false
	flushHeader := func() {
		mu.Lock()
		defer mu.Unlock()
		if !begun {
			rc.Flush()
		}
	}
	switch {
	case r.Method == "HEAD" || resp.ContentLength == 0 || here(resp):
	case resp.ContentLength < 0:
		flushHeader()
	default:
		defer time.AfterFunc(headerDelay, flushHeader).Stop()
	}
	buf := buffers.Get().(*[bodyBuffer]byte)
	defer buffers.Put(buf)
	for {
		n, err := resp.Body.Read(buf[:])
		mu.Lock()
		begun = true
		mu.Unlock()
		if n > 0 {
			if !budget.spend(n) {
				return false
			}
			if _, err := w.Write(buf[:n]); err != nil {
				return false
			}
		}
		switch {
		case err == io.EOF:
			if n > 0 && r.ProtoMajor == 2 {
				rc.Flush() // a client that takes nothing is waited for here, not where nobody counts it
			}
			return true
		case err != nil:
			return false
		case n > 0:
			rc.Flush()
		}
	}
}

// here tells whether all of a response's body has come already.
func here(resp *http.Response) bool {
	a, ok := resp.Body.(*answer)
	return ok && resp.ContentLength > 0 && int64(a.conn.in.Buffered()) >= resp.ContentLength
}

var errBadAnswer = errors.New("the upstream's answer does not fit the request")

// failed answers for an upstream that could not be reached or did not answer.
func (c *conn) failed(w http.ResponseWriter, r *http.Request, req *policy.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
	c.sandbox.function.egress.logger.Debug("upstream failed", "host", req.URL.Host, "err", err)
	if filtered := (*filteredError)(nil); errors.As(err, &filtered) {
		rec := recordOf(req)
		rec.Reason = filtered.Error()
		rec.Fix = c.sandbox.function.reach(filtered)
		c.refuse(w, r, http.StatusBadGateway, rec)
		return
	}
	if errors.Is(err, errCrowded) {
		respond(w, r, problem{Status: http.StatusServiceUnavailable, Detail: req.URL.Authority() + ": " + err.Error()})
		return
	}
	respond(w, r, problem{Status: http.StatusBadGateway, Detail: req.URL.Authority() + ": " + describe(err)})
}

// reach says how an address that is filtered may be reached.
func (f *Function) reach(e *filteredError) string {
	switch {
	case !f.egress.private || e.class == special:
		return ""
	case e.class == private:
		return "a rule that names the host and port without a wildcard"
	}
	return "a rule that names the address itself"
}

// describe puts an error of the upstream into words that help and show nothing of the inside.
func describe(err error) string {
	var unknown x509.UnknownAuthorityError
	var wrongHost x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var resolve *resolveError
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority; --upstream-ca names one to trust"
	case errors.As(err, &wrongHost):
		return "its certificate is for another host"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet"
	case errors.As(err, &verify):
		return "its certificate is not valid"
	case errors.As(err, &resolve):
		return "the name has no address; it is looked up outside the sandbox, and --resolve can give one"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refused the connection"
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to it"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time"
	case errors.As(err, &op) && op.Op == "remote error":
		return "it ended the TLS handshake"
	case errors.As(err, new(tls.RecordHeaderError)):
		return "it does not speak TLS on this port"
	case errors.Is(err, errBadAnswer):
		return err.Error()
	}
	return "the connection broke off before it answered"
}
