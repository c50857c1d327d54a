package server

import (
	"context"
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
