package egress

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
)

// echo speaks first, then gives back what it gets, and ends when the client does.
func echo(t *testing.T) string {
	t.Helper()
	return listening(t, func(c net.Conn) {
		defer c.Close()
		io.WriteString(c, "220 ready\r\n")
		io.Copy(c, c)
		io.WriteString(c, "bye")
	})
}

func TestTCPRule(t *testing.T) {
	w := newWorld(t, config{rules: []string{"tcp db.test:5432", "tcp *.pool.test:6379"}, resolve: []string{"*.test=" + echo(t)}})
	for _, to := range []string{"db.test:5432", "a.pool.test:6379"} {
		c := w.mustDial(to)
		if b := make([]byte, 11); readFull(c, b) != nil || string(b) != "220 ready\r\n" {
			t.Fatalf("%s: the server speaks first: %q", to, b)
		}
		// Nothing of it is read: TLS and HTTP are bytes like others.
		text := "\x16\x03\x01 GET / HTTP/1.1\r\n\r\n" + strings.Repeat("x", 1<<20)
		go func() {
			io.WriteString(c, text)
			c.CloseWrite()
		}()
		b, err := io.ReadAll(c)
		if err != nil || string(b) != text+"bye" {
			t.Errorf("%s: %d bytes, %v", to, len(b), err)
		}
	}
	if d := w.records.all(); len(d) != 0 {
		t.Errorf("%+v", d)
	}
}

func readFull(r io.Reader, b []byte) error { _, err := io.ReadFull(r, b); return err }

// readHead reads the header of a message as it is.
func readHead(rd *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := rd.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), err
		}
	}
}

// expectReset reads until the connection ends and wants that to be a reset.
func expectReset(t *testing.T, what string, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(15 * time.Second))
	if b, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) || len(b) > 0 {
		t.Errorf("%s: %q %v, want a reset", what, b, err)
	}
}

func TestOtherTCPIsReset(t *testing.T) {
	w := newWorld(t, config{rules: []string{"tcp db.test:5432", charge}, resolve: []string{"*.test=" + echo(t), "203.0.113.66=" + echo(t)}})
	for name, c := range map[string]struct{ to, text string }{
		"an address":              {"203.0.113.66:4444", "stolen"},
		"IPv6":                    {"[2001:db8::66]:4444", "stolen\n"},
		"a name":                  {"evil.test:4444", "CMD whoami\n"},
		"another port":            {"db.test:5433", "\x00\x00\x00\x08\x04\xd2\x16\x2f"},
		"raw to an allowed host":  {"api.test:443", "\x00\x01\x02"},
		"text to an allowed host": {"api.test:443", "EHLO mail.test\r\n"},
		"redis":                   {"evil.test:6379", "*1\r\n$4\r\nPING\r\n"},
		"SSH":                     {"evil.test:22", "SSH-2.0-x\r\n"},
		"empty line":              {"api.test:443", "\r\nGET / HTTP/1.1\r\n"},
		"a long word":             {"evil.test:1", strings.Repeat("A", 30)},
	} {
		conn := w.mustDial(c.to)
		io.WriteString(conn, c.text)
		expectReset(t, name, conn)
		d := w.denied(name, func(d record.Decision) bool { return d.Kind == "tcp" && d.Target == c.to })
		if name == "another port" && (!strings.Contains(d.Nearest, "db.test:5432") || !strings.Contains(d.Fix, "db.test:5433")) {
			t.Errorf("%+v", d)
		}
	}
	w.only()
}

// TestConnectionWithoutARequest is still an attempt, if no rule names the host.
func TestConnectionWithoutARequest(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	w.mustDial("api.test:443").Close()
	w.mustDial("evil.test:443").Close()
	c, err := w.tlsDial("quiet.test:443", "quiet.test")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	w.denied("evil.test", func(d record.Decision) bool { return d.Kind == "tcp" && d.Target == "evil.test:443" })
	w.denied("quiet.test", func(d record.Decision) bool { return d.Kind == "tcp" && d.Target == "quiet.test:443" })
	for _, d := range w.records.all() {
		if strings.HasPrefix(d.Target, "api.test") {
			t.Errorf("%+v", d)
		}
	}
}

func TestUnreachableTCP(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	w := newWorld(t, config{rules: []string{"tcp db.test:5432", "tcp 10.0.0.1:5432"}, resolve: []string{"db.test=" + dead.Addr().String()}})
	expectReset(t, "refused", w.mustDial("db.test:5432"))
	expectReset(t, "private", w.mustDial("10.0.0.1:5432"))
	d := w.denied("the private address", kind("tcp"))
	if d.Target != "10.0.0.1:5432" || !strings.Contains(d.Reason, "private") {
		t.Errorf("%+v", d)
	}
}

// TestFakeAddresses: an address is worth what the name is that it was made for, in its own sandbox.
func TestFakeAddresses(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	for _, a := range []string{"198.18.77.77:443", "198.19.255.255:80", "[fd77:6569:7200::c612:4d4d]:443", "[fd77:6569:7200::1]:443"} {
		c, err := w.conns.dial(netip.MustParseAddrPort(a))
		if err != nil {
			t.Fatal(err)
		}
		// The reset may come before the request: then writing it fails, and there is nothing to read.
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n"); err == nil {
			expectReset(t, a, c)
		}
		w.denied(a, func(d record.Decision) bool { return d.Kind == "tcp" && d.Target == a })
	}
	// The address that another sandbox got for a name is not this one's.
	if _, ok := w.sandbox.names.address("api.test", pinned); !ok {
		t.Fatal("no address")
	}
	other, err := w.fn.Sandbox("i-2")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if name, _ := other.names.name(netip.MustParseAddr("198.18.0.2")); name != "" {
		t.Errorf("another sandbox's address means %q", name)
	}
}

func TestSniff(t *testing.T) {
	for text, want := range map[string]protocol{
		"": undecided, "\x16": tlsProtocol, "\x16\x03": tlsProtocol, "G": undecided, "GET": undecided, "GET ": undecided, "GET /": httpProtocol,
		"GET h": undecided, "GET http": httpProtocol, "GET hx": unknown, "GET HTTPS://": httpProtocol, "OPTIONS *": httpProtocol,
		"CONNECT e": httpProtocol, "PRI * HTTP/2.0": httpProtocol, "M-SEARCH *": httpProtocol, "get /": httpProtocol, "BASELINE-CONTROL /x": httpProtocol,
		"EHLO x": unknown, "\x00": unknown, " GET /": unknown, "\r\n": unknown, "GET\t/": unknown, "GET  /": unknown, "get key": unknown,
		"*1\r\n": unknown, "\x80": unknown, "é /": unknown, strings.Repeat("A", 24): undecided, strings.Repeat("A", 25): unknown,
		strings.Repeat("A", 25) + " /": unknown,
	} {
		if got := sniff([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
