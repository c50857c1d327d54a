package server

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/weir"
)

// TestOneClientLeavesRequestsToOthers: however few connections its requests come by, each may hold a file or an upstream.
func TestOneClientLeavesRequestsToOthers(t *testing.T) {
	s := &Server{requests: gateway.NewRoom(8, 1), hosts: newHosts("weir.test", func(_, _ weir.Site) {}, slog.New(slog.DiscardHandler))}
	ask := func(from string) int {
		r := httptest.NewRequest("GET", "http://none.weir.test/", nil)
		r.RemoteAddr = from + ":1"
		w := httptest.NewRecorder()
		s.front(w, r)
		if w.Code == 503 && w.Header().Get("Retry-After") == "" {
			t.Error("nobody says when to come again")
		}
		return w.Code
	}
	for range 20 { // one after another
		if got := ask("192.0.2.1"); got != 404 {
			t.Fatal(got)
		}
	}
	s.requests.Take("192.0.2.1", 2)
	if got := ask("192.0.2.1"); got != 503 {
		t.Errorf("more than a quarter: %d", got)
	}
	if got := ask("192.0.2.2"); got != 404 {
		t.Errorf("another client: %d", got)
	}
}
