package server

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/store/natsstore"
	"github.com/weir-run/weir/internal/weir"
)

func TestFindsTheDeployOfAHost(t *testing.T) {
	const id = "0123456789abcdef01234567"
	h := newHosts("weir.test", func(_, _ weir.Site) {}, slog.New(slog.DiscardHandler))
	h.set("1", weir.Site{ID: "1", Name: "shop", Domains: []string{"www.shop.test"}, Aliases: map[string]string{"next": "d-next", "a--b": "d-ab"}})
	for host, want := range map[string]string{
		"shop.weir.test": "1 ", "SHOP.weir.test:8080": "1 ", "www.shop.test": "1 ", "next--shop.weir.test": "1 d-next", "a--b--shop.weir.test": "1 d-ab",
		id + "--shop.weir.test": "1 " + id,
		// None of these is any site's.
		"weir.test": "-", "shop": "-", "shop.weir.test.": "-", "other.weir.test": "-", "gone--shop.weir.test": "-", "next--www.shop.test": "-", "--shop.weir.test": "-",
		"shop.weir.test:80@evil": "-", "x.shop.weir.test": "-", "": "-", "next--other.weir.test": "-", id + "--.weir.test": "-", "shop.weir.test.evil.test": "-",
	} {
		s, deploy, err := h.find(host)
		got := s.ID + " " + deploy
		if err != nil {
			got = "-"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	h.set("1", weir.Site{ID: "1", Name: "store"})
	if _, _, err := h.find("shop.weir.test"); err == nil {
		t.Error("the old name still leads to the site")
	}
}

// TestWatch: what is there, what changes and what goes is known, whoever changes it.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	st, err := natsstore.Open(ctx, natsstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	kv, err := st.KV(ctx, "sites")
	if err != nil {
		t.Fatal(err)
	}
	put := func(s weir.Site) {
		value, _ := json.Marshal(s)
		if _, err := kv.Put(ctx, "site."+s.ID, value); err != nil {
			t.Fatal(err)
		}
	}
	put(weir.Site{ID: "1", Name: "one"})
	changes, ready := make(chan weir.Site, 10), make(chan struct{})
	h := newHosts("weir.test", func(_, s weir.Site) { changes <- s }, slog.New(slog.DiscardHandler))
	ended := make(chan struct{})
	go func() { h.watch(ctx, kv, func() { close(ready) }); close(ended) }()
	<-ready
	if s := <-changes; s.Name != "one" {
		t.Error(s)
	}
	put(weir.Site{ID: "1", Name: "one", Published: "d"})
	if s := <-changes; s.Published != "d" {
		t.Error(s)
	}
	if _, err := kv.Put(ctx, "site.2", []byte("{torn")); err != nil { // of no harm to the others
		t.Fatal(err)
	}
	if err := kv.Delete(ctx, "site.1", 0); err != nil {
		t.Fatal(err)
	}
	if s := <-changes; s.ID != "" {
		t.Error(s)
	}
	cancel()
	<-ended
}

// TestRedirectsToHTTPSStayWithTheirSite: whatever a request's target is, the host is the site's.
func TestRedirectsToHTTPSStayWithTheirSite(t *testing.T) {
	s := &Server{urls: urls{"https", "weir.test", ""}, hosts: newHosts("weir.test", func(_, _ weir.Site) {}, slog.New(slog.DiscardHandler))}
	s.hosts.set("1", weir.Site{ID: "1", Name: "shop"})
	for target, want := range map[string]string{
		"/a%2Fb/?q=%20":         "/a%2Fb/?q=%20",
		"/a?":                   "/a?",
		"//evil.test/":          "//evil.test/",
		"x:@evil.test/":         "/",
		"x:.evil.test":          "/",
		"http://shop.weir.test": "/",
		"*":                     "/%2A",
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: shop.weir.test\r\n\r\n")))
		if err != nil {
			t.Fatal(target, err)
		}
		w := httptest.NewRecorder()
		s.toHTTPS(w, r)
		if got := w.Header().Get("Location"); w.Code != http.StatusPermanentRedirect || got != "https://shop.weir.test"+want {
			t.Errorf("%s: %d %s", target, w.Code, got)
		}
	}
}
