package client

// One call: the request, what is tried again, and the error that a failure becomes.

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/weir"
)

// Options say which server is asked, and as whom.
type Options struct {
	Server string // its URL, without a path: https://weir.example.com
	Token  string
	// Plain lets the token go over http to another machine, where the network can read it.
	Plain bool
	// Wait waits before a call is tried again; nil: by the clock.
	Wait func(context.Context, time.Duration) error
	// Again is told of the first fault of a call that is tried again; nil: nobody is.
	Again func(error)
}

// Client asks one server. It is safe for concurrent use. Errors are *weir.Error with the server's words, or
// weir.Unavailable if it can't be reached.
type Client struct {
	server *url.URL
	token  string
	http   *http.Client
	wait   func(context.Context, time.Duration) error
	again  func(error)
	silent time.Duration // see maxSilent
}

// New makes a client. Errors: weir.Invalid for a URL that can't be one of a server's.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the server " + printable(o.Server) + " is not named by a URL such as https://weir.example.com"}
	}
	if u.Scheme == "http" && !o.Plain && !local(u.Hostname()) {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the token would go to " + printable(u.Host) + " unencrypted",
			Remedy: "name the server by https, or give --plain-http if nobody else can read this network"}
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	if o.Again == nil {
		o.Again = func(error) {}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 2 * time.Minute
	transport.MaxIdleConnsPerHost = uploads
	return &Client{server: u, token: o.Token, wait: o.Wait, again: o.Again, silent: maxSilent, http: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil // the token is for this server only
}

func local(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// request is a call. Its path is below the API's, and escaped.
type request struct {
	method, path string
	in, out      any                           // JSON; nil for none
	body         func() (io.ReadCloser, error) // instead of in: its bytes, anew for each try
	size         int64                         // of body
	accept       string
	once         bool // it must not happen twice: it is tried again only if the server did nothing
}

const (
	tries     = 6
	maxPause  = 30 * time.Second
	maxAnswer = 64 << 20
)

// do makes a call until it has an answer that counts.
func (c *Client) do(ctx context.Context, r request) error {
	for try := 1; ; try++ {
		res, err := c.send(ctx, r, try)
		if err == nil && res.StatusCode/100 == 2 {
			defer res.Body.Close()
			return read(res, r.out)
		}
		after := time.Duration(0)
		if err == nil {
			after = retryAfter(res)
			err = failure(res)
			res.Body.Close()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if try == tries || !again(err, r.once) {
			return err
		}
		if try == 1 {
			c.again(err)
		}
		backoff := time.Duration(float64(time.Second/4<<try) * (0.5 + rand.Float64())) // 0.25 to 12 s
		if err := c.wait(ctx, min(max(after, backoff), maxPause)); err != nil {
			return err
		}
	}
}

// again tells whether the same call may succeed later.
func again(err error, once bool) bool {
	switch weir.ErrorCode(err) {
	case weir.Busy:
		return true
	case weir.Unavailable, weir.Internal, weir.TooSlow:
		return !once
	}
	return false
}

func (c *Client) send(ctx context.Context, r request, try int) (*http.Response, error) {
	body, size, err := r.open()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.server.Scheme+"://"+c.server.Host+"/api/v1"+r.path, body)
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "no such call can be made: " + printable(r.path)}
	}
	req.ContentLength = size
	h := req.Header
	h.Set("User-Agent", "weir")
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
	switch {
	case r.body != nil:
		h.Set("Content-Type", "application/octet-stream")
	case r.in != nil:
		h.Set("Content-Type", "application/json")
	}
	if r.accept != "" {
		h.Set("Accept", r.accept)
	}
	if try > 1 {
		h.Set("X-Nf-Retry-Count", strconv.Itoa(try-1))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return res, nil
}

// unreachable words an error of the network. What a body's reader says is no such error.
func (c *Client) unreachable(err error) error {
	var known *weir.Error
	if errors.As(err, &known) {
		return known
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return &weir.Error{Code: weir.Invalid, Message: "the certificate of " + printable(c.server.Host) + " can't be trusted", Err: cert.Err,
			Remedy: "name the server as its certificate does, or the file with its authority in SSL_CERT_FILE"}
	case errors.Is(err, http.ErrSchemeMismatch):
		return &weir.Error{Code: weir.Invalid, Message: "the server " + printable(c.server.Host) + " does not speak https", Remedy: "name it by http"}
	}
	remedy := "see whether weir serve runs there, or name another server with --server or WEIR_SERVER"
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		remedy = "try again"
	}
	return &weir.Error{Code: weir.Unavailable, Message: "the server " + printable(c.server.Host) + " can't be reached", Err: err, Remedy: remedy}
}

func (r *request) open() (io.Reader, int64, error) {
	switch {
	case r.body != nil:
		b, err := r.body()
		return b, r.size, err
	case r.in != nil:
		b, err := json.Marshal(r.in)
		return bytes.NewReader(b), int64(len(b)), err
	}
	return nil, 0, nil
}

// read reads an answer into out: JSON, or all of it if out is a *[]byte.
func read(res *http.Response, out any) error {
	if out == nil || res.StatusCode == http.StatusNoContent {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if text, ok := out.(*[]byte); ok {
		*text = b
	} else if err == nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		return &weir.Error{Code: weir.Unavailable, Message: "the server's answer can't be read", Err: err, Remedy: "see whether it is a Weir server of this version"}
	}
	return nil
}

// failure is the error that an answer tells of.
func failure(res *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var e wire.Error
	if json.Unmarshal(b, &e) == nil && e.Weir.Code != "" {
		return &weir.Error{Code: weir.Code(e.Weir.Code), Message: printable(e.Weir.Message), Remedy: printable(e.Weir.Remedy)}
	}
	code := weir.Invalid
	switch {
	case res.StatusCode == http.StatusTooManyRequests:
		code = weir.Busy
	case res.StatusCode >= 500:
		code = weir.Unavailable
	}
	return &weir.Error{Code: code, Message: "the server answered " + printable(res.Status), Remedy: "see whether it is a Weir server, and not something before it"}
}

// retryAfter is for how long the server asks to wait.
func retryAfter(res *http.Response) time.Duration {
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(maxPause/time.Second))) * time.Second
}

func printable(s string) string { return weir.Printable(weir.Cut(s, 1000)) }
