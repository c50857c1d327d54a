package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestDrain: while the server ends, what it has taken is finished and others are told to come again.
func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	d := newDrain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-leave
	}))
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w
	}
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- ask() }()
	<-entered
	over, cancel := context.WithCancel(t.Context())
	cancel()
	d.close(over) // nobody waits any longer, the first is still there
	if w := ask(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" {
		t.Errorf("the second: %d %v", w.Code, w.Header())
	}
	select {
	case <-d.empty:
		t.Error("it is empty while a request is in flight")
	default:
	}
	close(leave)
	if w := <-first; w.Code != http.StatusOK {
		t.Errorf("the first: %d", w.Code)
	}
	<-d.empty
}

// TestAServerThatIsToEndSaysSo: it answers as before, but who asks for its health is told, and no connection is kept.
func TestAServerThatIsToEndSaysSo(t *testing.T) {
	p := newPlatform(t)
	ask := func(url string) (status int, last bool) {
		t.Helper()
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		return res.StatusCode, res.Close
	}
	health := p.APIAddr() + "/api/v1/weir/health"
	if status, last := ask(health); status != 200 || last {
		t.Errorf("before: %d %v", status, last)
	}
	p.leaving.Store(true)
	if status, last := ask(health); status != 503 || !last {
		t.Errorf("health: %d %v", status, last)
	}
	for _, url := range []string{p.APIAddr() + "/api/v1/openapi.json", p.Addr()} {
		if status, last := ask(url); status >= 500 || !last {
			t.Errorf("%s: %d %v", url, status, last)
		}
	}
}
