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
			name, err := policy.CanonicalHost(h.ServerName)
			switch {
			case c.literal: // the Host of each request decides
			case err == nil && name == c.hosts[0]:
			default:
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

// serveTLS ends the TLS of a connection and hands it to the server for the version of HTTP that the
// two agreed on. It returns false if it did not, and then the connection is over.
func (c *conn) serveTLS() bool {
	c.secure = true
	e := c.sandbox.function.egress
	t := tls.Server(c, e.tls)
	c.SetDeadline(time.Now().Add(handshakeTime))
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTime)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.deniedTLS(err)
		return false
	}
	c.SetDeadline(time.Time{})
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		return e.http2.put(t)
	}
	return e.http1.put(&http1Conn{Conn: t, captured: c})
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
	case errors.As(err, &op) && op.Op == "remote error": // an alert, as crypto/tls reports it
		r.Reason = "the client refused the sandbox's certificate or ended the handshake; a client that trusts only its own certificates needs a tcp rule"
	case op != nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled):
		return // gone without a request: recorded as a connection if no rule names the host
	default:
		r.Reason = "the TLS handshake failed"
	}
	c.told.Store(true)
	c.sandbox.denials.writeOnce(r)
}
