package server

// Where the server listens, and with which certificates.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/weir"
)

// Certificate is a pair of PEM files.
type Certificate struct{ Cert, Key string }

const (
	lookAgain = 10 * time.Second    // how long the certificates are believed not to have changed on disk
	soon      = 14 * 24 * time.Hour // before its end, whoever runs the server is told of it
	tellAgain = 24 * time.Hour      // how often
)

// certificates are those of one listener, read again when their files change. It is safe for concurrent use.
type certificates struct {
	files  []Certificate
	logger *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamp  string // of the files, when they were read
	loaded []tls.Certificate
	told   time.Time // when it was told that one ends
}

// newCertificates reads the files. The first pair is for clients that name no host that another is for.
func newCertificates(files []Certificate, logger *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, logger: logger}
	c.stamp, c.looked = c.stampOf(), time.Now()
	var err error
	c.loaded, err = c.read()
	c.tell(c.looked)
	return c, err
}

// tell says in the log which certificates have ended, or will soon: clients don't take them then.
func (c *certificates) tell(now time.Time) {
	if now.Sub(c.told) < tellAgain {
		return
	}
	for i := range c.loaded {
		if end := c.loaded[i].Leaf.NotAfter; end.Sub(now) < soon {
			c.told = now
			c.logger.Warn("a certificate ends, and clients refuse it then: put a new one in its place", "file", c.files[i].Cert, "end", end.UTC().Format(time.RFC3339))
		}
	}
}

func (c *certificates) read() ([]tls.Certificate, error) {
	var out []tls.Certificate
	for _, f := range c.files {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("the certificate in %s and the key in %s can't be used", f.Cert, f.Key), Err: err,
				Remedy: "name PEM files that belong together"}
		}
		out = append(out, pair)
	}
	return out, nil
}

// stampOf tells when the files were changed last.
func (c *certificates) stampOf() string {
	var b strings.Builder
	for _, f := range c.files {
		for _, name := range []string{f.Cert, f.Key} {
			if info, err := os.Stat(name); err == nil {
				fmt.Fprintf(&b, "%d %d\n", info.ModTime().UnixNano(), info.Size())
			}
		}
	}
	return b.String()
}

// get is tls.Config.GetCertificate. Files that can't be read any more leave the certificates as they are.
func (c *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	if time.Since(c.looked) > lookAgain {
		c.looked = time.Now()
		if stamp := c.stampOf(); stamp != c.stamp {
			if loaded, err := c.read(); err != nil {
				c.logger.Error("the certificates are those from before", "error", err)
			} else {
				c.loaded, c.stamp, c.told = loaded, stamp, time.Time{}
			}
		}
		c.tell(c.looked)
	}
	loaded := c.loaded
	c.mu.Unlock()
	for i := range loaded {
		if hello.SupportsCertificate(&loaded[i]) == nil {
			return &loaded[i], nil
		}
	}
	return &loaded[0], nil
}

// door is one address that the server listens on.
type door struct {
	what     string // for messages: "sites"
	listener net.Listener
	secure   bool // by TLS
	srv      *http.Server
}

// open listens on an address, by TLS if there are certificates, and answers by h: HTTP/1.1, and HTTP/2 over TLS.
// Clients must send headers, bodies and further requests within a time, and take what they are sent, or lose their
// connection.
func open(what, addr, flag string, b bound, files []Certificate, h http.Handler, logger *slog.Logger) (*door, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "can't listen on " + addr + " for " + what, Err: err, Remedy: "choose another " + flag}
	}
	d := &door{what: what, listener: &bounded{l, b}, srv: &http.Server{
		Handler:           gateway.Paced(h),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		HTTP2:             &http.HTTP2Config{WriteByteTimeout: writeTime},
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}}
	if len(files) == 0 {
		return d, nil
	}
	certs, err := newCertificates(files, logger)
	if err != nil {
		l.Close()
		return nil, err
	}
	d.secure = true
	d.srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get}
	return d, nil
}

// scheme is the scheme of URLs that lead here.
func (d *door) scheme() string {
	if d.secure {
		return "https"
	}
	return "http"
}

func (d *door) addr() *net.TCPAddr { return d.listener.Addr().(*net.TCPAddr) }

// serve answers until the door is closed.
func (d *door) serve() error {
	var err error
	if d.secure {
		err = d.srv.ServeTLS(d.listener, "", "")
	} else {
		err = d.srv.Serve(d.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving %s: %w", d.what, err)
}

// close takes no further connections and gives requests in flight until ctx ends.
func (d *door) close(ctx context.Context) {
	if d.srv.Shutdown(ctx) != nil {
		d.srv.Close()
	}
	d.listener.Close()
}
