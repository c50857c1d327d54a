package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
)

// TestRulesLeadNowhereInside: whoever deploys chooses where a site's rules lead, and the server stands where they can't
// go. However an address of this machine, or that of a cloud's metadata, is written, by HTTP or a WebSocket.
func TestRulesLeadNowhereInside(t *testing.T) {
	var reached atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached.Add(1) }))
	defer inside.Close()
	at, err := url.Parse(inside.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlatform(t)
	hosts := []string{"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "localhost", "LOCALHOST.", "shop.localhost",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "169.254.169.254", "127.0.0.1%E3%80%82", "user@127.0.0.1"}
	var rules strings.Builder
	for i, host := range hosts {
		fmt.Fprintf(&rules, "/%d http://%s:%s/ 200!\n", i, host, at.Port())
	}
	fmt.Fprintf(&rules, "/api %s/api/v1/weir/health 200!\n", p.APIAddr())
	p.shows("shop.localhost", p.deploy(p.site("shop"), owner, content{files: map[string]string{"_redirects": rules.String(), "index.html": "1"}}, deploys.BeginOptions{}))
	for i, host := range append(hosts, "the API") {
		path := fmt.Sprint("/", i)
		if i == len(hosts) {
			path = "/api"
		}
		status, body := p.get("shop.localhost", path)
		if known := i == 0 || i == len(hosts); status < 400 || known && status != 502 { // of some spellings there is no rule
			t.Errorf("%s answers %d %s", host, status, body)
		}
		if _, _, status := p.socket("shop.localhost", path); status < 400 {
			t.Errorf("%s answers a WebSocket: %d", host, status)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("this machine was reached %d times", n)
	}
}
