package egress

// This file exists because what a connection carries shows in its first bytes only, and whoever comes
// after must get them, too.

import (
	"bytes"
	"net"
	"strings"
	"time"
)

// How long a connection may take to show what it is: until the first byte, and from there. Where no rule
// names the host and port, it is refused whatever it is, and a client that waits for the server to speak
// first is not to wait long.
const (
	sniffTime    = 10 * time.Second
	sniffRefused = 2 * time.Second
	sniffMore    = time.Second
	sniffBuffer  = 1024 // bytes that are looked at
)

// protocol is what the first bytes of a connection are.
type protocol uint8

const (
	undecided protocol = iota // too few bytes
	tlsProtocol
	httpProtocol
	unknown
)

const maxMethod = 24

// sniff tells the protocol by the first bytes: a TLS handshake record (RFC 8446, section 5.1), or a
// method and the beginning of a request target (RFC 9112, section 3). It only chooses the parser;
// that decides.
func sniff(b []byte) protocol {
	if len(b) == 0 {
		return undecided
	}
	if b[0] == 0x16 {
		return tlsProtocol
	}
	n := bytes.IndexFunc(b, func(c rune) bool {
		return (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
	})
	switch {
	case n < 0 && len(b) <= maxMethod:
		return undecided
	case n <= 0 || n > maxMethod || b[n] != ' ':
		return unknown
	}
	method, target := string(b[:n]), strings.ToLower(string(b[n+1:]))
	const absolute = "http"
	switch {
	case target == "":
		return undecided
	case method == "CONNECT" || target[0] == '/' || target[0] == '*' || strings.HasPrefix(target, absolute):
		return httpProtocol
	case strings.HasPrefix(absolute, target):
		return undecided
	}
	return unknown
}

// ahead is a connection of which something was read ahead.
type ahead struct {
	net.Conn
	head []byte
}

// Read gives what was read ahead first.
func (a *ahead) Read(b []byte) (int, error) {
	if len(a.head) > 0 {
		n := copy(b, a.head)
		a.head = a.head[n:]
		return n, nil
	}
	return a.Conn.Read(b)
}

// look reads until it is known what the connection carries, and keeps what it read. The deadline of
// the TCP connection under it says how long it may be silent; once it speaks, sniffMore does.
func (a *ahead) look(under net.Conn) (protocol, error) {
	buf := make([]byte, sniffBuffer)
	for {
		n, err := a.Conn.Read(buf[len(a.head):])
		if len(a.head) == 0 && n > 0 {
			under.SetReadDeadline(time.Now().Add(sniffMore))
		}
		a.head = buf[:len(a.head)+n]
		if p := sniff(a.head); p != undecided {
			return p, nil
		}
		if err != nil {
			return undecided, err
		}
	}
}

// SetLinger sets how the connection ends, if it is one of TCP.
func (a *ahead) SetLinger(sec int) error {
	if l, ok := a.Conn.(interface{ SetLinger(sec int) error }); ok {
		return l.SetLinger(sec)
	}
	return nil
}

// CloseWrite ends one direction.
func (a *ahead) CloseWrite() error {
	closeWrite(a.Conn)
	return nil
}
