package egress

// Upstreams that answer as none should.

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/record"
)

// scripted is an upstream that answers every request's header with the same bytes, and reads a body
// of five bytes before the next.
func scripted(t *testing.T, before, after string) string {
	t.Helper()
	return listening(t, func(c net.Conn) {
		defer c.Close()
		for rd := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(rd); err != nil {
				return
			}
			io.WriteString(c, before)
			if after == "" || readFull(rd, make([]byte, 5)) != nil {
				return
			}
			io.WriteString(c, after)
		}
	})
}

// TestHintsTogetherWithContinue: an upstream that asks for the body and gives hints in one packet
// makes two goroutines write to the client. Only the race detector sees for certain that they do so at
// the same time; without it that takes two processors, and so many requests.
func TestHintsTogetherWithContinue(t *testing.T) {
	hint := "HTTP/1.1 103 Early Hints\r\nLink: <" + strings.Repeat("x", 3900) + ">\r\n\r\n"
	addr := scripted(t, "HTTP/1.1 100 Continue\r\n\r\n"+hint+hint, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	w := newWorld(t, config{rules: []string{"POST http://api.test/**"}, resolve: []string{"api.test:80=" + addr}})
	c := w.mustDial("api.test:80")
	rd := bufio.NewReader(c)
	for range 300 {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
		seen := map[int]int{}
		for seen[200] == 0 {
			resp, err := http.ReadResponse(rd, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			if seen[resp.StatusCode]++; resp.StatusCode == 200 && string(b) != "ok" {
				t.Fatalf("%q", b)
			}
		}
		if seen[100] != 1 || len(seen) > 3 {
			t.Fatalf("%v", seen)
		}
	}
}

// TestImpossibleStatuses: what no response can have is the upstream's fault, not the server's.
func TestImpossibleStatuses(t *testing.T) {
	for status, want := range map[string]string{"000": "502", "099": "502", "+20": "502", "042": "502", "999": "999"} {
		addr := scripted(t, "HTTP/1.1 "+status+" Odd\r\nContent-Length: 0\r\n\r\n", "")
		w := newWorld(t, config{rules: []string{"GET http://api.test/**", "ws://api.test:8080/live"}, resolve: []string{"api.test=" + addr}})
		if out := w.raw("api.test:80", "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", 1); !strings.HasPrefix(out, want) {
			t.Errorf("%s: %q", status, out)
		}
		if out := w.raw("api.test:8080", wsHead+"\r\n", 1); !strings.HasPrefix(out, want) {
			t.Errorf("%s for a WebSocket: %q", status, out)
		}
		if strings.Contains(w.logs.String(), "panic") {
			t.Errorf("%s: %s", status, w.logs)
		}
	}
}

// TestMalformedTargetsKeepTheirSecrets: what a client has put in the wrong place is not written down.
func TestMalformedTargetsKeepTheirSecrets(t *testing.T) {
	for target, want := range map[string]string{
		"/a#token=secret":                  "http://api.test:80/a",
		"/a//b?token=secret":               "http://api.test:80/a//b",
		"/a//b#x?token=secret":             "http://api.test:80/a//b",
		"http://me:secret@api.test/x":      "http://api.test:80/ (api.test/x)",
		"http://me:sec@secret@api.test/x":  "http://api.test:80/ (api.test/x)",
		"http://me:secret/@api.test/x?y=z": "http://api.test:80",
		"//me:secret@api.test/x":           "http://api.test:80/ (api.test/x)",
		`/\me:secret@api.test/x`:           "http://api.test:80/ (api.test/x)",
		"/%2e%2e/@scope/x":                 "http://api.test:80/%2e%2e/@scope/x",
	} {
		w := newWorld(t, config{rules: anything})
		if out := w.raw("api.test:80", "GET "+target+" HTTP/1.1\r\nHost: api.test\r\n\r\n", 1); !strings.HasPrefix(out, "400") || strings.Contains(out, "secret") {
			t.Errorf("%s: %q", target, out)
		}
		if d := w.denied(target, func(d record.Decision) bool { return d.Kind == "http" }); d.Target != want {
			t.Errorf("%s: recorded as %q", target, d.Target)
		}
	}
}
