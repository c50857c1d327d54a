package egress

// What an upstream does on a connection that is used again.

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const answered = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// askedUpstream is an upstream that is told what to do with each request. nth counts the requests of a
// connection, from 1. It serves "http" without TLS and "https" with.
func askedUpstream(t *testing.T, serve func(c net.Conn, r *http.Request, nth int)) (w *world, conns *atomic.Int64) {
	conns = new(atomic.Int64)
	cert := outsideCert(t, time.Now().Add(time.Hour), "api.test")
	each := func(c net.Conn) {
		defer c.Close()
		conns.Add(1)
		rd := bufio.NewReader(c)
		for nth := 1; ; nth++ {
			r, err := http.ReadRequest(rd)
			if err != nil {
				return
			}
			serve(c, r, nth)
		}
	}
	plain := listening(t, each)
	secure := listening(t, func(c net.Conn) { each(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})) })
	var rules []string
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"} {
		rules = append(rules, method+" http://api.test/**", method+" https://api.test/**")
	}
	return newWorld(t, config{rules: rules, noResolve: true, resolve: []string{"api.test:80=" + plain, "api.test:443=" + secure}}), conns
}

// bySchemes runs a test with and without TLS.
func bySchemes(t *testing.T, f func(t *testing.T, url string)) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) { f(t, scheme+"://api.test/") })
	}
}

// TestUnaskedAnswers: what an upstream sends before it is asked is nobody's answer.
func TestUnaskedAnswers(t *testing.T) {
	bySchemes(t, func(t *testing.T, url string) {
		for name, unasked := range map[string]func(c net.Conn){
			"at once": func(c net.Conn) { io.WriteString(c, answered+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") },
			"in a record of its own": func(c net.Conn) {
				io.WriteString(c, answered)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			},
			"a byte": func(c net.Conn) { io.WriteString(c, answered+"\n") },
		} {
			t.Run(name, func(t *testing.T) {
				sent := make(chan struct{}, 3)
				w, conns := askedUpstream(t, func(c net.Conn, r *http.Request, nth int) {
					unasked(c)
					sent <- struct{}{}
				})
				cl := w.client(false)
				for range 3 {
					resp, body := w.do(cl, "GET", url, "")
					<-sent
					if resp.StatusCode != 200 || body != "ok" {
						t.Errorf("%s %q", resp.Status, body)
					}
				}
				if n := conns.Load(); n != 3 {
					t.Errorf("%d connections for 3 requests", n)
				}
			})
		}
	})
}

// TestUpstreamHangsUp: a request that an upstream closes a used connection on is repeated if that does no
// harm, and no part of an answer has come.
func TestUpstreamHangsUp(t *testing.T) {
	bySchemes(t, func(t *testing.T, url string) {
		for _, c := range []struct {
			method, body, half string
			status             int
		}{
			{"GET", "", "", 200},
			{"HEAD", "", "", 200},
			{"POST", "", "", 502},
			{"DELETE", "", "", 502},
			{"PUT", "text", "", 502},
			{"GET", "text", "", 502},
			{"GET", "", "HTTP/1.1 2", 502},
		} {
			t.Run(fmt.Sprintf("%s %q %q", c.method, c.body, c.half), func(t *testing.T) {
				var seen atomic.Int64
				w, _ := askedUpstream(t, func(up net.Conn, r *http.Request, nth int) {
					io.Copy(io.Discard, r.Body)
					if r.Method == c.method {
						seen.Add(1)
					}
					if nth == 2 {
						io.WriteString(up, c.half)
						up.Close()
						return
					}
					answer := answered
					if r.Method == "HEAD" {
						answer = strings.TrimSuffix(answer, "ok")
					}
					io.WriteString(up, answer)
				})
				cl := w.client(false)
				w.do(cl, "OPTIONS", url, "")
				resp, _ := w.do(cl, c.method, url, c.body)
				if resp.StatusCode != c.status {
					t.Errorf("%s, want %d", resp.Status, c.status)
				}
				if n := seen.Load(); (n == 2) != (c.status == 200) {
					t.Errorf("it was sent %d times", n)
				}
			})
		}
	})
}

// TestConnectionsAreUsedAgain when all was said on them, and only then.
func TestConnectionsAreUsedAgain(t *testing.T) {
	bySchemes(t, func(t *testing.T, url string) {
		for name, c := range map[string]struct {
			method, body, answer string
			again                bool
		}{
			"length":      {"GET", "", answered, true},
			"chunks":      {"GET", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", true},
			"empty":       {"GET", "", "HTTP/1.1 204 No Content\r\n\r\n", true},
			"head":        {"HEAD", "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", true},
			"body":        {"POST", "text", answered, true},
			"hints":       {"GET", "", "HTTP/1.1 103 Early Hints\r\n\r\n" + answered, true},
			"close":       {"GET", "", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false},
			"old version": {"GET", "", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
			"not asked":   {"GET", "", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false},
		} {
			t.Run(name, func(t *testing.T) {
				w, conns := askedUpstream(t, func(up net.Conn, r *http.Request, nth int) {
					io.Copy(io.Discard, r.Body)
					io.WriteString(up, c.answer)
				})
				cl := w.client(false)
				w.do(cl, c.method, url, c.body)
				w.fn.settled(t)
				w.do(cl, c.method, url, c.body)
				if n := conns.Load(); (n == 1) != c.again {
					t.Errorf("%d connections for two requests", n)
				}
			})
		}
	})
}

// settled waits until no connection to an upstream is in use.
func (f *Function) settled(t *testing.T) {
	eventually(t, "no connection is in use", func() bool {
		f.idle.mu.Lock()
		defer f.idle.mu.Unlock()
		return len(f.places) == f.idle.count
	})
}

// TestEndlessHeaders: an upstream's header has an end, and so have the responses that only inform.
func TestEndlessHeaders(t *testing.T) {
	bySchemes(t, func(t *testing.T, url string) {
		for name, part := range map[string]string{
			"lines":       "X-Long: " + strings.Repeat("x", 1000) + "\r\n",
			"one line":    strings.Repeat("x", 1000),
			"informative": "X-A: b\r\n\r\nHTTP/1.1 103 Early Hints\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				w, _ := askedUpstream(t, func(up net.Conn, r *http.Request, nth int) {
					io.WriteString(up, "HTTP/1.1 103 Early Hints\r\n")
					for {
						if _, err := io.WriteString(up, part); err != nil {
							return
						}
					}
				})
				if resp, _ := w.do(w.client(false), "GET", url, ""); resp.StatusCode != 502 {
					t.Error(resp.Status)
				}
				eventually(t, "no connection is left", func() bool { return len(w.fn.places) == 0 })
			})
		}
	})
}

// TestClosedFunctionKeepsNoConnections: neither the idle ones, nor those in use once they are idle.
func TestClosedFunctionKeepsNoConnections(t *testing.T) {
	bySchemes(t, func(t *testing.T, url string) {
		arrived, release := make(chan struct{}, 1), make(chan struct{})
		w, _ := askedUpstream(t, func(up net.Conn, r *http.Request, nth int) {
			if r.URL.Path == "/wait" {
				arrived <- struct{}{}
				<-release
			}
			io.WriteString(up, answered)
		})
		cl := w.client(false)
		done := make(chan string)
		go func() {
			_, body := w.do(cl, "GET", url+"wait", "")
			done <- body
		}()
		<-arrived
		w.do(cl, "GET", url, "")
		w.fn.Close()
		eventually(t, "only the one in use is left", func() bool { return len(w.fn.places) == 1 })
		close(release)
		if body := <-done; body != "ok" {
			t.Errorf("%q", body)
		}
		eventually(t, "none is left", func() bool { return len(w.fn.places) == 0 })
	})
}
