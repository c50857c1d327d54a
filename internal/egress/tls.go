package egress

// This file exists because the name that a TLS handshake asks for must be the one that was dialled,
// in a full handshake and in a resumed one.

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// handshakeTime bounds a TLS handshake with a sandbox.
const handshakeTime = 10 * time.Second

// configureTLS makes the configuration of all sandboxes. It is one, or no session would ever
// resume: the keys of tickets belong to it. A resumed session proves nothing here but that its
// holder was here before, so every connection is checked by itself.
func (e *Egress) configureTLS() {
	var only1 *tls.Config
	e.tls = &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// Small records help on slow links. This one is the machine's own memory.
		DynamicRecordSizingDisabled: true,
		// Asked for every handshake; GetCertificate is not when a session resumes.
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			c := h.Conn.(*conn)
			if !c.names(h.ServerName) {
				c.sni = namesNoHost
				if h.ServerName != "" {
					c.sni = "the TLS handshake names " + shown(h.ServerName)
				}
				c.explain(c.strange())
				c.sandbox.tell(c.refusal) // now: an alert is seen at once
				return e.stranger, nil
			}
			if slices.Contains(h.SupportedProtos, "h2") && !c.sandbox.admitHTTP2(c) {
				return only1, nil
			}
			return nil, nil
		},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := h.Conn.(*conn)
			return c.sandbox.ca.certificate(c.hosts)
		},
	}
	only1 = e.tls.Clone()
	only1.GetConfigForClient, only1.NextProtos = nil, []string{"http/1.1"}
	e.stranger = &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		// No certificate and no error make crypto/tls send the alert unrecognized_name.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil },
	}
}

// names tells whether a handshake's server name is the one that was dialled. Of an address, the Host
// of each request decides.
func (c *conn) names(server string) bool {
	name, err := policy.CanonicalHost(server)
	return c.literal || err == nil && name == c.hosts[0]
}

// serveTLS ends the TLS of a connection and serves what is inside. It returns false if it did not
// come to that, and then the connection is over.
func (c *conn) serveTLS() bool {
	t, err := c.handshake()
	return err == nil && c.serveInside(t, t)
}

// handshake ends the TLS of a connection. If it fails, that is recorded.
func (c *conn) handshake() (*tls.Conn, error) {
	c.secure = true
	t := tls.Server(c, c.sandbox.function.egress.tls)
	c.SetDeadline(time.Now().Add(handshakeTime))
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTime)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.deniedTLS(err)
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return t, nil
}

// serveInside hands HTTP inside TLS to the server for the version that the two agreed on. in is t, or
// t with what was read ahead of HTTP/1. It returns false if nobody took it.
func (c *conn) serveInside(t *tls.Conn, in net.Conn) bool {
	e := c.sandbox.function.egress
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		return e.http2.put(t)
	}
	return e.http1.put(&http1Conn{Conn: in, captured: c})
}

// isAlert tells whether a handshake failed because the client said so (an alert, as crypto/tls
// reports it).
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

const namesNoHost = "the TLS handshake names no host"

// strange gives the record of a handshake that names another host than the one that was dialled, or none,
// and its text. Clients of HTTP name the host; where no rule knows it, one that does not wants a tcp rule.
func (c *conn) strange() (r record.Decision, text string) {
	if c.sni == namesNoHost && c.service == policy.NoService {
		return c.tcpDenial(c.sni)
	}
	return record.Decision{Kind: "tls", Target: c.authority(), Reason: c.sni + ", but the connection was made to " + c.hosts[0]}, ""
}

// deniedTLS records a handshake that came to nothing.
func (c *conn) deniedTLS(err error) {
	r := record.Decision{Kind: "tls", Target: c.authority()}
	var op *net.OpError
	switch {
	case c.sni != "":
		r, _ = c.strange()
	case c.crowded:
		r.Reason = "this sandbox has too many HTTP/2 connections open, and the client offers nothing else"
	case isAlert(err):
		r.Reason = "the client refused the sandbox's certificate or ended the handshake; a client that trusts only its own certificates needs a tcp rule"
	case errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled):
		return // gone without a request: recorded as a connection if no rule names the host
	default:
		r.Reason = "the TLS handshake failed"
	}
	c.told.Store(true)
	c.sandbox.ledger.writeOnce(r)
}
