package server

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/gateway"
)

// doorOf opens a door to a handler. Each address of this machine counts as a client, but for 127.0.0.1.
func doorOf(t *testing.T, places int64, patience time.Duration, h http.HandlerFunc) *door {
	t.Helper()
	client := func(addr string) string { return strings.TrimPrefix(addr, "127.0.0.1") }
	d, err := open("sites", "127.0.0.1:0", "--listen", bound{gateway.NewRoom(places, 1), client, patience}, nil, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go d.serve()
	t.Cleanup(func() { d.close(t.Context()) })
	return d
}

// ask opens a connection from an address of this machine and tells whether it is served.
func (d *door) ask(t *testing.T, from string) (net.Conn, bool) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.Dial("tcp", d.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	b := make([]byte, 15)
	n, _ := io.ReadFull(c, b)
	return c, string(b[:n]) == "HTTP/1.1 200 OK"
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) }
}

// TestConnectionsAreBounded: one too many is closed at once, and a place that is given back is taken again, once.
func TestConnectionsAreBounded(t *testing.T) {
	d := doorOf(t, 2, writeTime, says("served"))
	served := func() (net.Conn, bool) { return d.ask(t, "127.0.0.1") }
	first, ok := served()
	if _, also := served(); !ok || !also {
		t.Fatal("two connections are not served")
	}
	for range 3 {
		if _, ok := served(); ok {
			t.Fatal("there are more than two")
		}
	}
	first.Close()
	waitFor(t, func() bool { _, ok := served(); return ok })
	if _, ok := served(); ok {
		t.Error("a place was given back twice")
	}
}

// TestOneClientLeavesPlacesToOthers: it has a quarter of the connections, and others are served all the same.
func TestOneClientLeavesPlacesToOthers(t *testing.T) {
	d := doorOf(t, 8, writeTime, says("served"))
	first, ok := d.ask(t, "127.0.0.2")
	if _, also := d.ask(t, "127.0.0.2"); !ok || !also {
		t.Fatal("a quarter of the connections is not served")
	}
	if _, ok := d.ask(t, "127.0.0.2"); ok {
		t.Error("a client has more than a quarter")
	}
	for _, other := range []string{"127.0.0.3", "127.0.0.3", "127.0.0.1", "127.0.0.1", "127.0.0.1"} {
		if _, ok := d.ask(t, other); !ok {
			t.Errorf("%s is shut out", other)
		}
	}
	first.Close()
	waitFor(t, func() bool { _, ok := d.ask(t, "127.0.0.2"); return ok })
}

// TestUntakenAnswersEndConnections: a client that asks and takes nothing does not keep its connection.
func TestUntakenAnswersEndConnections(t *testing.T) {
	ended := make(chan error)
	d := doorOf(t, 8, 50*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return
			}
		}
	})
	c, err := net.Dial("tcp", d.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the connection is kept")
	}
}
