package platform

// Servers are ended and started one after the other, behind a load balancer, and nobody notices.

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/test/platform/served"
)

// balancer shares out requests among servers, as load balancers do. It tries nothing again.
type balancer struct {
	*httptest.Server

	mu      sync.Mutex
	next    int
	healthy []string       // where their sites are
	flying  map[string]int // requests
}

func newBalancer(t *testing.T) *balancer {
	b := &balancer{flying: map[string]int{}}
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := b.take()
		defer b.giveBack(to)
		proxy := httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
			u, _ := url.Parse(to)
			r.SetURL(u)
			r.Out.Host = r.In.Host
		}}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { b.Close(); transport.CloseIdleConnections() })
	return b
}

func (b *balancer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	to := b.healthy[b.next%len(b.healthy)]
	b.flying[to]++
	return to
}

func (b *balancer) giveBack(to string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying[to]--
}

func (b *balancer) idle(s *server) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flying[s.Sites] == 0
}

// healthOf asks for a server's health, as a load balancer does.
func healthOf(ctx context.Context, s *served.Server) int {
	r, err := http.NewRequestWithContext(ctx, "GET", s.API+"/api/v1/weir/health", nil)
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// set shares out requests among these.
func (b *balancer) set(servers []*server) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.healthy = nil
	for _, s := range servers {
		b.healthy = append(b.healthy, s.Sites)
	}
}

// TestRollingRestart ends and starts each of three servers while they are asked, and deploys meanwhile: no request
// fails, though none is tried again.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	drain := []string{"--drain", "1h"} // until this test has seen that the server is not healthy
	_, servers := cluster(t, drain, drain, drain)
	ctx := t.Context()
	token := servers[0].Token
	site, err := servers[0].CreateSite(ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	deploy := func(by *server, n int) {
		t.Helper()
		_, err := by.Deploy(ctx, site.ID, served.Content{Files: map[string]served.Source{"index.html": served.Bytes(fmt.Append(nil, n))},
			Functions: map[string]served.Source{"echo": served.Archive("echo", `exports.handler = async (event) => ({ statusCode: 200, body: "echo " + event.body })`)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	deploy(servers[0], 0)
	b := newBalancer(t)
	b.set(servers)
	var asking sync.WaitGroup
	loading, stop := context.WithCancel(ctx)
	var asked atomic.Int64
	for range 4 {
		asking.Go(func() {
			for loading.Err() == nil {
				if err := askBoth(ctx, b.URL); err != nil {
					t.Error(err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i, s := range servers {
		others := append(append([]*server{}, servers[:i]...), servers[i+1:]...)
		s.Terminate()
		eventually(t, "a server that is ending says so", func() bool { return healthOf(ctx, s.Server) == http.StatusServiceUnavailable })
		b.set(others)
		deploy(others[0], i+1)
		eventually(t, "nobody asks it any more", func() bool { return b.idle(s) || t.Failed() })
		s.kill()
		if err := s.launch(); err != nil {
			t.Fatal(err)
		}
		if s.Client, err = client.New(client.Options{Server: s.API, Token: token}); err != nil {
			t.Fatal(err)
		}
		b.set(servers)
		seen := asked.Load()
		eventually(t, "the server is back", func() bool { return asked.Load() > seen+8 || t.Failed() })
	}
	stop()
	asking.Wait()
	t.Logf("%d times asked", asked.Load())
}

// askBoth asks for a file and a function of the site.
func askBoth(ctx context.Context, at string) error {
	for _, ask := range []struct{ method, path, body, want string }{{"GET", "/", "", ""}, {"POST", "/.netlify/functions/echo", "x", "echo x"}} {
		r, err := http.NewRequestWithContext(ctx, ask.method, at+ask.path, strings.NewReader(ask.body))
		if err != nil {
			return err
		}
		r.Host = "shop.localhost"
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || ask.want != "" && string(body) != ask.want {
			return fmt.Errorf("%s %s: %d %s %v", ask.method, ask.path, res.StatusCode, body, err)
		}
	}
	return nil
}

// TestWhoWillNotWait: a server that drains ends at once when it is told again.
func TestWhoWillNotWait(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--drain", "1h")
	s.start()
	s.Terminate()
	eventually(t, "it says that it ends", func() bool { return healthOf(t.Context(), s.Server) == http.StatusServiceUnavailable })
	ended := make(chan struct{})
	go func() { s.Stop(); close(ended) }()
	eventually(t, "it ends", func() bool {
		select {
		case <-ended:
			return true
		default:
			s.Terminate()
			return false
		}
	})
}
