package egress

// What a hostile upstream may answer so that the next request on the connection gets what it was not asked.

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

// crooked are answers that end earlier or later than one of two readers may think. What is not framed ends with
// its connection.
var crooked = map[string]struct {
	answer string
	closes bool
}{
	"another answer behind":       {answered + evil, false},
	"204 with a body":             {"HTTP/1.1 204 No Content\r\nContent-Length: 45\r\n\r\n" + evil, false},
	"204 in chunks":               {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2d\r\n" + evil + "\r\n0\r\n\r\n", false},
	"304 with a body":             {"HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n" + evil, false},
	"1xx with a body":             {"HTTP/1.1 103 Early Hints\r\nContent-Length: 45\r\n\r\n" + evil, false},
	"101 that nobody asked for":   {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + evil, false},
	"two lengths":                 {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 47\r\n\r\nok" + evil, false},
	"a list of lengths":           {"HTTP/1.1 200 OK\r\nContent-Length: 2, 47\r\n\r\nok" + evil, false},
	"the same length twice":       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok" + evil, false},
	"a length with a sign":        {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok" + evil, false},
	"a negative length":           {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok" + evil, false},
	"a length beyond 64 bits":     {"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok" + evil, false},
	"length and chunks":           {"HTTP/1.1 200 OK\r\nContent-Length: 47\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil, false},
	"chunks twice":                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil, true},
	"chunks that are compressed":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil, true},
	"identity":                    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok" + evil, true},
	"chunks of HTTP/1.0":          {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n2\r\nok\r\n0\r\n\r\n" + evil, true},
	"a chunk's size with a sign":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n" + evil, false},
	"a chunk's size beyond 64":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n" + evil, false},
	"a chunk's size with x":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n" + evil, false},
	"a chunk with more":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n" + evil, false},
	"a chunk's extension":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"\r\n\"\r\nok\r\n0\r\n\r\n" + evil, false},
	"a trailer that frames":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 47\r\n\r\n" + evil, false},
	"a folded length":             {"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok" + evil, false},
	"a folded name":               {"HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 47\r\nContent-Length: 2\r\n\r\nok" + evil, false},
	"a blank before the colon":    {"HTTP/1.1 200 OK\r\nContent-Length : 47\r\nContent-Length: 2\r\n\r\nok" + evil, false},
	"a bare line feed":            {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok" + evil, false},
	"a bare carriage return":      {"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 47\r\nContent-Length: 2\r\n\r\nok" + evil, false},
	"a NUL":                       {"HTTP/1.1 200 OK\r\nContent-Length: 2\x00\r\n\r\nok" + evil, false},
	"version 2.0":                 {"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok" + evil, false},
	"version 0.9":                 {"ok" + evil, false},
	"a length that is never kept": {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok" + evil, true},
}

// TestNobodyGetsAnothersAnswer: what an upstream answers to one request, it never answers to the next one.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	for name, c := range crooked {
		t.Run(name, func(t *testing.T) {
			w, _ := askedUpstream(t, func(up net.Conn, r *http.Request, nth int) {
				io.Copy(io.Discard, r.Body)
				if r.URL.Path != "/crooked" {
					body := r.URL.Path
					head := "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
					io.WriteString(up, head+body)
					return
				}
				io.WriteString(up, c.answer)
				if c.closes {
					up.Close()
				}
			})
			cl := w.client(false)
			for method, body := range map[string]string{"GET": "", "HEAD": "", "POST": "x"} {
				r, err := http.NewRequest(method, "http://api.test/crooked", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if resp, err := cl.Do(r); err == nil { // or it was found out
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				for i := range 3 {
					want := "/straight-" + method + strconv.Itoa(i)
					if resp, got := w.do(cl, "GET", "http://api.test"+want, ""); got != want {
						t.Errorf("after %s, %s got %s %q", method, want, resp.Status, got)
					}
				}
			}
		})
	}
}
