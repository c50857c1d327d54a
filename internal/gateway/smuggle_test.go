package gateway

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestWhatFollowsADoubtfulRequestIsNone: where a proxy in front may see another end of a request, nothing behind that is
// answered.
func TestWhatFollowsADoubtfulRequestIsNone(t *testing.T) {
	const next = "GET /.netlify/functions/fn?hidden HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	for name, request := range map[string]string{
		"two lengths":     "POST /.netlify/functions/fn HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"an early answer": "POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.0":        "POST /.netlify/functions/fn HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		f := giving(`{"statusCode":200}`)
		conn := dial(t, serve(t, f, false))
		io.WriteString(conn, request+next)
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		io.Copy(io.Discard, res.Body)
		if rest, _ := io.ReadAll(in); len(rest) > 0 || len(f.got) > 1 || len(f.got) == 1 && strings.Contains(string(f.got[0].Event), "hidden") {
			t.Errorf("%s: what follows is answered: %q", name, rest)
		}
	}
}

// TestMethodsAreWords: HTTP/2 carries any text for one.
func TestMethodsAreWords(t *testing.T) {
	for method, want := range map[string]int{"GET": 200, "PURGE": 200, "GET /other": 400, "GET\r\nX-A:": 400, "": 400} {
		f := giving(`{"statusCode":200}`)
		r := request("GET", "/.netlify/functions/fn", "")
		r.Method = method
		if res := ask(f, r); res.StatusCode != want || len(f.got) > 0 != (want == 200) {
			t.Errorf("%q: %d", method, res.StatusCode)
		}
	}
}
