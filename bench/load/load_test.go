package load

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRunCountsWhatIsAnsweredOverEachConnection(t *testing.T) {
	var asked, opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if body, _ := io.ReadAll(r.Body); r.Method != "POST" || r.URL.RequestURI() != "/a?b=c" || string(body) != "{}" {
			t.Errorf("asked %s %s with %q", r.Method, r.URL.RequestURI(), body)
		}
		if asked.Load()%2 == 0 { // both ways of ending an answer
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, "hello")
	}))
	s.Config.ConnState = countNew(&opened)
	s.Start()
	defer s.Close()
	r, err := Run(Target{URL: s.URL + "/a?b=c", Method: "POST", Body: "{}", Want: "hello"}, 3, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	if n := len(r.Latencies); n == 0 || int64(n) > asked.Load() || r.Failed != 0 {
		t.Errorf("%d answers counted and %d failed of %d requests", n, r.Failed, asked.Load())
	}
	if r.Rate() <= 0 || r.Elapsed < 50*time.Millisecond {
		t.Errorf("a rate of %v over %v", r.Rate(), r.Elapsed)
	}
}

func TestAnswersThatAreNotWhatWasWantedAreNotCountedAsAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"status": func(w http.ResponseWriter, r *http.Request) { http.Error(w, "hello", http.StatusServiceUnavailable) },
		"body":   func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "good bye") },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(answer)
			defer s.Close()
			r, err := Run(Target{URL: s.URL, Want: "hello"}, 1, 20*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Latencies) != 0 || r.Failed == 0 || r.Failure == "" {
				t.Errorf("%d answers, %d failed (%q)", len(r.Latencies), r.Failed, r.Failure)
			}
		})
	}
}

func TestRunFailsIfAServerHangsUp(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "hello")
	}))
	defer s.Close()
	if _, err := Run(Target{URL: s.URL, Want: "hello"}, 1, time.Minute); err == nil || !strings.Contains(err.Error(), s.URL) {
		t.Errorf("err = %v", err)
	}
}

func TestParseFindsTheEndOfAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		in    string
		whole bool
		fails bool
		body  string
	}{
		"nothing":           {in: ""},
		"half a head":       {in: "HTTP/1.1 200 OK\r\nContent-Le"},
		"half a body":       {in: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", body: "hel"},
		"a whole body":      {in: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", whole: true, body: "hello"},
		"an empty body":     {in: "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", whole: true},
		"half of a chunk":   {in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", body: "5\r\nhel"},
		"all but the end":   {in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n10\r\n", body: "2\r\n10\r\n"},
		"all chunks":        {in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n0\r\n\r\n", whole: true, body: "1\r\nh\r\n0\r\n\r\n"},
		"no chunk":          {in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", whole: true, body: "0\r\n\r\n"},
		"no length":         {in: "HTTP/1.1 200 OK\r\n\r\nhello", fails: true},
		"another protocol":  {in: "SSH-2.0-OpenSSH\r\n\r\n", fails: true},
		"a length of words": {in: "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			a, whole, err := parse([]byte(c.in))
			if whole != c.whole || (err != nil) != c.fails || a.body != c.body {
				t.Errorf("%q, whole %v, err %v", a.body, whole, err)
			}
		})
	}
}

func countNew(n *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
}
