package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
)

func both(t *testing.T, f func(t *testing.T, two bool)) {
	t.Run("http1", func(t *testing.T) { f(t, false) })
	t.Run("http2", func(t *testing.T) { f(t, true) })
}

var anything = []string{"GET https://api.test/**", "POST https://api.test/**", "HEAD https://api.test/**", "DELETE https://api.test/**"}

// TestTrailers: both ways, announced or not, so that gRPC works.
func TestTrailers(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Te") != "trailers" && two {
				t.Errorf("Te: %q", r.Header.Get("Te"))
			}
			body, _ := io.ReadAll(r.Body)
			rw.Header().Set("Trailer", "Grpc-Status")
			fmt.Fprintf(rw, "%s %s", body, r.Trailer.Get("X-Sum"))
			rw.Header().Set("Grpc-Status", "0")
			if r.URL.Query().Has("more") {
				rw.Header().Set(http.TrailerPrefix+"Grpc-Message", "fine")
			}
		})})
		for _, path := range []string{"/a", "/a?more"} {
			r, _ := http.NewRequest("POST", "https://api.test"+path, io.MultiReader(strings.NewReader("body")))
			r.Header.Set("Te", "trailers")
			r.Trailer = http.Header{"X-Sum": {"17"}, "X-Http-Method-Override": {"DELETE"}}
			resp, err := w.client(two).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != "body 17" || resp.Trailer.Get("Grpc-Status") != "0" {
				t.Errorf("%s: %q %v %v", path, body, resp.Trailer, err)
			}
			if want := map[string]string{"/a": "", "/a?more": "fine"}[path]; resp.Trailer.Get("Grpc-Message") != want {
				t.Errorf("%s: %v", path, resp.Trailer)
			}
		}
	})
}

// TestTrailersOnly: an answer that is a header alone, as gRPC gives for an error.
func TestTrailersOnly(t *testing.T) {
	w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Grpc-Status", "12")
	})})
	resp, body := w.do(w.client(true), "POST", "https://api.test/pkg.Service/Method", "x")
	if resp.StatusCode != 200 || resp.Header.Get("Grpc-Status") != "12" || body != "" {
		t.Errorf("%+v %q", resp, body)
	}
}

func TestInformationalResponses(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Link", "</style.css>; rel=preload")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
			rw.WriteHeader(http.StatusProcessing)
			rw.Header().Set("X-Final", "1")
			fmt.Fprint(rw, "done")
		})})
		var seen []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			seen = append(seen, fmt.Sprint(code, h.Get("Link")))
			return nil
		}}
		r, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "GET", "https://api.test/", nil)
		resp, err := w.client(two).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if fmt.Sprint(seen) != "[103</style.css>; rel=preload 102]" || resp.Header.Get("Link") != "" || resp.Header.Get("X-Final") != "1" {
			t.Errorf("%v %v", seen, resp.Header)
		}
	})
}

// TestExpectContinue: the client's body is asked for only when the upstream asks for it. (Go's server
// for HTTP/2 hides the expectation from its handler, so there the egress asks by itself.)
func TestExpectContinue(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		for path, want := range map[string]string{"/take": "200 took body", "/no": "417 no"} {
			w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Expect") != "100-continue" && !two {
					t.Error("the expectation was not passed on")
				}
				if r.URL.Path == "/no" {
					rw.WriteHeader(417)
					fmt.Fprint(rw, "no")
					return
				}
				b, _ := io.ReadAll(r.Body)
				fmt.Fprintf(rw, "took %s", b)
			})})
			body := &noticed{Reader: strings.NewReader("body")}
			r, _ := http.NewRequest("POST", "https://api.test"+path, body)
			r.ContentLength = 4
			r.Header.Set("Expect", "100-continue")
			resp, err := w.client(two).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if got := fmt.Sprint(resp.StatusCode, " ", string(b)); got != want {
				t.Errorf("%s: %s", path, got)
			}
			if path == "/no" && body.read && !two {
				t.Error("the body was asked for in vain")
			}
		}
	})
}

type noticed struct {
	io.Reader
	read bool
}

func (n *noticed) Read(p []byte) (int, error) { n.read = true; return n.Reader.Read(p) }

// TestStreaming: each piece arrives before the next one is sent, both ways.
func TestStreaming(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(rw)
			rc.EnableFullDuplex()
			rw.WriteHeader(200)
			rc.Flush()
			for rd := bufio.NewReader(r.Body); ; {
				line, err := rd.ReadString('\n')
				if err != nil {
					return
				}
				fmt.Fprintf(rw, "echo %s", line)
				rc.Flush()
			}
		})})
		pr, pw := io.Pipe()
		r, _ := http.NewRequest("POST", "https://api.test/chat", pr)
		resp, err := w.client(two).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		rd := bufio.NewReader(resp.Body)
		for i := range 5 {
			fmt.Fprintf(pw, "line %d\n", i)
			if line, err := rd.ReadString('\n'); err != nil || line != fmt.Sprintf("echo line %d\n", i) {
				t.Fatalf("%q %v", line, err)
			}
		}
		pw.Close()
		if _, err := rd.ReadByte(); err != io.EOF {
			t.Errorf("the end: %v", err)
		}
	})
}

// TestSlowBodyOfKnownLength: the header does not wait for it, nor one part of it for the next.
func TestSlowBodyOfKnownLength(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		step := make(chan struct{})
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "2")
			http.NewResponseController(rw).Flush()
			for range 2 {
				<-step
				rw.Write([]byte("x"))
				http.NewResponseController(rw).Flush()
			}
		})})
		resp, err := w.client(two).Get("https://api.test/slow")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			step <- struct{}{}
			if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestHeadAndEmptyResponses(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/204":
				rw.WriteHeader(204)
			case "/304":
				rw.Header().Set("Etag", `"x"`)
				rw.WriteHeader(304)
			default:
				rw.Header().Set("Content-Length", "1234")
				rw.Header().Set("Content-Encoding", "gzip")
			}
		})})
		c := w.client(two)
		for range 2 { // the connection must be in order afterwards
			if resp, _ := w.do(c, "HEAD", "https://api.test/x", ""); resp.ContentLength != 1234 || resp.Header.Get("Content-Encoding") != "gzip" {
				t.Errorf("HEAD: %+v", resp)
			}
			if resp, body := w.do(c, "DELETE", "https://api.test/204", ""); resp.StatusCode != 204 || body != "" {
				t.Errorf("204: %+v %q", resp, body)
			}
			if resp, body := w.do(c, "GET", "https://api.test/304", ""); resp.StatusCode != 304 || body != "" || resp.Header.Get("Etag") == "" {
				t.Errorf("304: %+v %q", resp, body)
			}
		}
	})
}

// TestBrokenResponseIsSeen: half an answer must not look like a whole one.
func TestBrokenResponseIsSeen(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, "half")
			http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		})})
		resp, err := w.client(two).Get("https://api.test/")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%q without an error", b)
		}
	})
}

// TestCancelReachesUpstream: who hangs up inside ends the request outside.
func TestCancelReachesUpstream(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		arrived, ended := make(chan struct{}), make(chan struct{})
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
			close(ended)
		})})
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-arrived; cancel() }()
		r, _ := http.NewRequestWithContext(ctx, "GET", "https://api.test/", nil)
		if _, err := w.client(two).Do(r); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("the upstream still works")
		}
	})
}

// TestEarlyAnswer: an upstream that answers before it has read everything, as to an upload that is
// too large.
func TestEarlyAnswer(t *testing.T) {
	both(t, func(t *testing.T, two bool) {
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			http.NewResponseController(rw).EnableFullDuplex()
			rw.WriteHeader(413)
			fmt.Fprint(rw, "too large")
		})})
		pr, pw := io.Pipe()
		defer pw.Close()
		go pw.Write(make([]byte, 64<<10))
		r, _ := http.NewRequest("POST", "https://api.test/upload", pr)
		resp, err := w.client(two).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); resp.StatusCode != 413 || string(b) != "too large" || err != nil {
			t.Errorf("%d %q %v", resp.StatusCode, b, err)
		}
	})
}

// TestLargeBodies: both ways, whole, and never held in memory.
func TestLargeBodies(t *testing.T) {
	const size = 48 << 20
	both(t, func(t *testing.T, two bool) {
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			h := sha256.New()
			io.Copy(h, r.Body)
			fmt.Fprintf(rw, "%x ", h.Sum(nil))
			io.CopyN(rw, pattern{}, size)
		})})
		sum := sha256.New()
		io.CopyN(sum, pattern{}, size)
		c := w.client(two)
		c.Timeout = 0 // a slow machine may take as long as it likes
		ctx, stop := context.WithCancel(t.Context())
		moving := &moving{time.AfterFunc(time.Minute, stop)}
		defer moving.stopped.Stop()
		req, err := http.NewRequestWithContext(ctx, "POST", "https://api.test/big", moving.of(io.LimitReader(pattern{}, size)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		rd := bufio.NewReader(moving.of(resp.Body))
		got, err := rd.ReadString(' ')
		if err != nil || got != fmt.Sprintf("%x ", sum.Sum(nil)) {
			t.Errorf("the upload: %s %v", got, err)
		}
		down := sha256.New()
		if _, err := io.CopyN(down, rd, size/2); err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapInuse > 40<<20 {
			t.Errorf("%d MB in use in the middle of %d MB", m.HeapInuse>>20, size>>20)
		}
		if _, err := io.Copy(down, rd); err != nil || !bytes.Equal(down.Sum(nil), sum.Sum(nil)) {
			t.Errorf("the download differs (%v)", err)
		}
	})
}

// moving ends what stands still for a minute.
type moving struct{ stopped *time.Timer }

// of gives a reader whose every byte counts as movement.
func (m *moving) of(r io.Reader) io.Reader { return io.TeeReader(r, m) }

func (m *moving) Write(p []byte) (int, error) {
	m.stopped.Reset(time.Minute)
	return len(p), nil
}

// pattern is an endless body.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestPoolsAreApart: a connection to an upstream is used again, but by one function only.
func TestPoolsAreApart(t *testing.T) {
	conns := make(chan string, 10)
	w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { conns <- r.RemoteAddr })})
	w.do(w.client(false), "GET", "https://api.test/", "")
	w.do(w.client(false), "GET", "https://api.test/", "") // another connection inside
	first, second := <-conns, <-conns
	if first != second {
		t.Error("the connection was not used again")
	}
	other := w.egress.Function("other", compile(t, anything...), w.records)
	defer other.Close()
	w.fn = other
	w.conns = &pairListener{}
	w.conns.start(t)
	w.start(nil)
	w.do(w.client(false), "GET", "https://api.test/", "")
	if third := <-conns; third == first {
		t.Error("two functions shared a connection")
	}
}

// TestUpstreamFailures are told in words that help, without what is inside.
func TestUpstreamFailures(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := dead.Addr().String()
	dead.Close()
	raw := func(answer string) string {
		return listening(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, answer)
			c.Close()
		})
	}
	for name, c := range map[string]struct{ to, want string }{
		"refused":  {refused, "refused the connection"},
		"no name":  {"", "no address"},
		"silence":  {raw(""), "broke off"},
		"nonsense": {raw("SSH-2.0-x\r\n"), "broke off"},
		"unasked":  {raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), "does not fit"},
	} {
		cfg := config{rules: []string{"GET http://api.test/**"}, noResolve: true}
		if c.to != "" {
			cfg.resolve = []string{"api.test=" + c.to}
		}
		w := newWorld(t, cfg)
		resp, body := w.do(w.client(false), "GET", "http://api.test/?secret", "")
		p := problemOf(t, resp, body)
		if p.Status != 502 || !strings.Contains(p.Detail, c.want) || p.Code != "" || strings.Contains(body, "127.0.0.1") || strings.Contains(body, "secret") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	w := newWorld(t, config{rules: []string{"GET https://api.test/**"}, resolve: []string{"api.test=" + raw("HTTP/1.0 400 no\r\n\r\n")}})
	if resp, body := w.do(w.client(false), "GET", "https://api.test/", ""); !strings.Contains(problemOf(t, resp, body).Detail, "TLS") {
		t.Errorf("plain HTTP where TLS was expected: %s", body)
	}
}

// TestRebinding: a name that changes its mind is held to what is public, each time.
func TestRebinding(t *testing.T) {
	private := netip.MustParseAddr("10.0.0.1")
	answers := [][]netip.Addr{{private}, {netip.MustParseAddr("::ffff:169.254.169.254"), netip.MustParseAddr("64:ff9b::a9fe:a9fe")}, {netip.MustParseAddr("127.0.0.1")}}
	asked := 0
	w := newWorld(t, config{rules: []string{"GET https://rebind.example/**"}, lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "rebind.example" {
			t.Errorf("asked for %s", host)
		}
		asked++
		return answers[asked-1], nil
	}})
	for i := range answers {
		resp, body := w.do(w.client(false), "GET", "https://rebind.example/", "")
		if p := problemOf(t, resp, body); p.Status != 502 || p.Code != "EWEIR" || !strings.Contains(p.Detail, "out of reach") {
			t.Errorf("answer %d: %+v", i, p)
		}
	}
	if asked != len(answers) {
		t.Errorf("asked %d times for %d connections", asked, len(answers))
	}
	w.denied("the address", func(d record.Decision) bool { return strings.Contains(d.Reason, "out of reach") })
}
