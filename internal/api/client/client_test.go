package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/weir"
)

// ask gives a client of a handler; it doesn't wait between tries.
func ask(t *testing.T, h http.HandlerFunc) (*Client, *[]time.Duration) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	var waits []time.Duration
	var mu sync.Mutex
	c, err := New(Options{Server: srv.URL, Token: "weir_t", Wait: func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		waits = append(waits, d)
		return ctx.Err()
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c, &waits
}

func TestWhatIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header string
		once   bool
		tries  int32
	}{
		{"a fault of the server", 500, "", false, 3}, {"one that may have acted", 500, "", true, 1}, {"too many requests", 429, "7", true, 3},
		{"not now", 503, "1", false, 3}, {"a mistake of the caller", 422, "", false, 1}, {"no right", 403, "", false, 1}, {"lost connection", 0, "", false, 3},
		{"lost connection while acting", 0, "", true, 1},
	} {
		var n atomic.Int32
		cl, waits := ask(t, func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) == 3 {
				io.WriteString(w, `{"id":"x"}`)
				return
			}
			if c.status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Retry-After", c.header)
			w.WriteHeader(c.status)
		})
		err := cl.do(t.Context(), request{method: "PUT", path: "/x", in: wire.Policy{}, once: c.once})
		if n.Load() != c.tries || (err == nil) != (c.tries == 3) {
			t.Errorf("%s: %d tries, %v", c.name, n.Load(), err)
		}
		if c.header == "7" && (*waits)[0] != 7*time.Second {
			t.Errorf("%s: waited %v, though the server said 7 s", c.name, *waits)
		}
	}
}

// TestWhoWaitsIsToldWhy: once for each call. What will not be otherwise later is not tried again.
func TestWhoWaitsIsToldWhy(t *testing.T) {
	c, waits := ask(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	told := 0
	c.again = func(error) { told++ }
	if _, err := c.Sites(t.Context()); err == nil || told != 1 || len(*waits) != tries-1 {
		t.Errorf("told %d times, waited %d times: %v", told, len(*waits), err)
	}
	stranger := httptest.NewUnstartedServer(nil)
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	defer stranger.Close()
	for server, want := range map[string]string{stranger.URL: "SSL_CERT_FILE", strings.Replace(c.server.String(), "http:", "https:", 1): "by http"} {
		c, err := New(Options{Server: server, Wait: func(context.Context, time.Duration) error { t.Error("tried again"); return nil }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Sites(t.Context()); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", server, err)
		}
	}
}

func TestTriesEnd(t *testing.T) {
	var n atomic.Int32
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) { n.Add(1); w.WriteHeader(503) })
	if _, err := c.Sites(t.Context()); weir.ErrorCode(err) != weir.Unavailable || n.Load() != tries {
		t.Errorf("%d tries: %v", n.Load(), err)
	}
}

func TestErrorsAreTheServersWords(t *testing.T) {
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(409)
		io.WriteString(w, `{"code":409,"message":"x","weir":{"code":"conflict","message":"taken\u001b[2J","remedy":"choose another"}}`)
	})
	_, err := c.CreateSite(t.Context(), "x")
	var e *weir.Error
	if !errors.As(err, &e) || e.Code != weir.Conflict || e.Message != "taken\ufffd[2J" || e.Remedy != "choose another" {
		t.Errorf("%#v", err)
	}
	if c, err = New(Options{Server: "http://127.0.0.1:1", Wait: func(context.Context, time.Duration) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Health(t.Context()); weir.ErrorCode(err) != weir.Unavailable || !strings.Contains(err.Error(), "WEIR_SERVER") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestTheTokenStaysWithTheServer: it goes to no other place, nor where the network can read it.
func TestTheTokenStaysWithTheServer(t *testing.T) {
	other, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		t.Error("another server was asked, with", r.Header.Get("Authorization"))
	})
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer weir_t" {
			t.Errorf("sent as %q", r.Header.Get("Authorization"))
		}
		http.Redirect(w, r, other.server.String(), http.StatusTemporaryRedirect)
	})
	if _, err := c.User(t.Context()); weir.ErrorCode(err) != weir.Invalid {
		t.Errorf("a redirect: %v", err)
	}
	for server, fine := range map[string]bool{
		"http://weir.example.com": false, "http://10.0.0.1:9999": false, "https://weir.example.com": true, "http://localhost:1": true, "http://[::1]:1": true, "http://127.0.0.9/": true,
		"weir.example.com": false, "ftp://x": false, "https://u:p@x": false, "https://x/api/v1": false, "https://x?a": false, "": false,
	} {
		if _, err := New(Options{Server: server}); (err == nil) != fine {
			t.Errorf("%q: %v", server, err)
		}
	}
	if _, err := New(Options{Server: "http://weir.example.com", Plain: true}); err != nil {
		t.Error(err)
	}
}

// TestUploads: each goes to its place, whole, also when the first try fails half way; what is told of progress adds up.
func TestUploads(t *testing.T) {
	var mu sync.Mutex
	got, tried := map[string]string{}, map[string]bool{}
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		first := !tried[r.URL.Path]
		tried[r.URL.Path] = true
		mu.Unlock()
		if first && strings.HasSuffix(r.URL.Path, "/b c%d") {
			io.CopyN(io.Discard, r.Body, 10)
			panic(http.ErrAbortHandler)
		}
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.EscapedPath()+"?"+r.URL.RawQuery] = string(b)
		io.WriteString(w, "{}")
	})
	content := strings.Repeat("x", 1<<20)
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	var sent atomic.Int64
	err := c.Upload(t.Context(), "d", []Upload{{Path: "a/b c%d", Size: 1 << 20, Open: open}, {Function: "charge", Runtime: "weir", Mode: "background", Size: 1 << 20, Open: open}},
		func(n int64) { sent.Add(n) })
	if err != nil || sent.Load() != 2<<20 {
		t.Fatalf("%v; %d bytes are said to have been sent", err, sent.Load())
	}
	for _, at := range []string{"/api/v1/deploys/d/files/a/b%20c%25d?", "/api/v1/deploys/d/functions/charge?invocation_mode=background&runtime=weir"} {
		if !bytes.Equal([]byte(got[at]), []byte(content)) {
			t.Errorf("%s got %d bytes; all: %d", at, len(got[at]), len(got))
		}
	}
}

// TestAFileThatChanges while it is uploaded is no fault of the server's: nobody waits for that to pass.
func TestAFileThatChanges(t *testing.T) {
	for _, size := range []int{1 << 20, 3 << 20} {
		c, waits := ask(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); io.WriteString(w, "{}") })
		open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(strings.Repeat("x", size))), nil }
		err := c.Upload(t.Context(), "d", []Upload{{Path: "page.html", Size: 2 << 20, Open: open}}, nil)
		if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "page.html has changed") || len(*waits) > 0 {
			t.Errorf("%d bytes: %v, waited %v", size, err, *waits)
		}
	}
}

func TestTheFirstFailedUploadEndsAll(t *testing.T) {
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if !strings.HasSuffix(r.URL.Path, "/bad") {
			<-r.Context().Done() // which the server notices only once the body was read
			return
		}
		w.WriteHeader(422)
		io.WriteString(w, `{"weir":{"code":"invalid","message":"not what was declared"}}`)
	})
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
	err := c.Upload(t.Context(), "d", []Upload{{Path: "slow", Size: 1, Open: open}, {Path: "bad", Size: 1, Open: open}}, nil)
	if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "not what was declared") {
		t.Errorf("%v", err)
	}
}

func TestListsComeInPages(t *testing.T) {
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		n := 100
		if r.URL.Query().Get("page") == "2" {
			n = 1
		}
		io.WriteString(w, "["+strings.TrimSuffix(strings.Repeat(`{"id":"x"},`, n), ",")+"]")
	})
	if all, err := c.Sites(t.Context()); err != nil || len(all) != 101 {
		t.Errorf("%d sites, %v", len(all), err)
	}
}

// TestFollowingGoesOn: after a connection is lost, with the lines after the last one.
func TestFollowingGoesOn(t *testing.T) {
	var asked []string
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+"?"+r.URL.RawQuery)
		io.WriteString(w, ": begin\n\ndata: {\"time\":\"2026-01-02T12:00:00Z\",\"text\":\"one\"}\n\n")
	})
	ended := errors.New("enough")
	n := 0
	err := c.FollowLogs(t.Context(), "shop", LogQuery{Function: "mail", Limit: 5}, func(l wire.LogLine) error {
		if n++; l.Text != "one" {
			t.Errorf("%+v", l)
		}
		if n == 2 {
			return ended
		}
		return nil
	}, func(err error) { t.Errorf("told to be away: %v", err) })
	want := []string{"/api/v1/weir/sites/shop/logs/stream?function=mail&limit=5", "/api/v1/weir/sites/shop/logs/stream?function=mail&since=2026-01-02T12%3A00%3A00.000000001Z"}
	if !errors.Is(err, ended) || len(asked) != 2 || asked[0] != want[0] || asked[1] != want[1] {
		t.Errorf("%v; asked %q", err, asked)
	}
	if err := c.FollowLogs(t.Context(), "shop", LogQuery{}, func(wire.LogLine) error { return &weir.Error{Code: weir.Denied} }, nil); weir.ErrorCode(err) != weir.Denied {
		t.Errorf("%v", err)
	}
}

// TestWhoFollowsIsToldThatTheServerIsAway: once each time; and a server that was never there is an error at once.
func TestWhoFollowsIsToldThatTheServerIsAway(t *testing.T) {
	answers := []int{200, 503, 503, 200, 200, 503, 200}
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		status := answers[0]
		answers = answers[1:]
		w.WriteHeader(status)
		if status == 200 && len(answers) == 0 {
			io.WriteString(w, "data: {\"text\":\"back\"}\n\n")
		}
	})
	ended := errors.New("enough")
	away := 0
	err := c.FollowLogs(t.Context(), "shop", LogQuery{}, func(wire.LogLine) error { return ended }, func(error) { away++ })
	if !errors.Is(err, ended) || away != 2 {
		t.Errorf("%v; told %d times", err, away)
	}
	answers = []int{503, 200}
	if err := c.FollowLogs(t.Context(), "shop", LogQuery{}, nil, nil); weir.ErrorCode(err) != weir.Unavailable {
		t.Errorf("a server that isn't there: %v", err)
	}
}

// TestASilentServerIsLost: one that sends nothing any more, without an end, is asked anew.
func TestASilentServerIsLost(t *testing.T) {
	var asked atomic.Int32
	c, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, ": begin\n\n")
		http.NewResponseController(w).Flush()
		if asked.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, "data: {\"text\":\"back\"}\n\n")
	})
	c.silent = 200 * time.Millisecond
	ended := errors.New("enough")
	if err := c.FollowLogs(t.Context(), "shop", LogQuery{}, func(wire.LogLine) error { return ended }, func(error) {}); !errors.Is(err, ended) {
		t.Error(err)
	}
}
