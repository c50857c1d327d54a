package api

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/logs"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// TestJobs: what is changed is on record before, and what can't be recorded is not changed.
func TestJobs(t *testing.T) {
	w := newWorld(t)
	at := "/weir/sites/shop"
	if all := get[[]wire.Job](t, w, "viewer", "GET", at+"/jobs", ""); len(all) != 1 || all[0].ID != "j1" {
		t.Errorf("jobs: %+v", all)
	}
	if all := get[[]wire.Job](t, w, "viewer", "GET", at+"/jobs?state=dead", ""); len(all) != 1 || all[0].Runs != 3 || all[0].Error != "timeout" {
		t.Errorf("dead letters: %+v", all)
	}
	if all := get[[]wire.Schedule](t, w, "viewer", "GET", at+"/schedules", ""); len(all) != 1 || all[0].Next != noon {
		t.Errorf("schedules: %+v", all)
	}
	if rec := w.ask("developer", "POST", at+"/jobs/j2/replay", ""); rec.Code != 204 {
		t.Errorf("replayed: %d", rec.Code)
	}
	if rec := w.ask("developer", "POST", at+"/jobs/x/replay", ""); rec.Code != 404 {
		t.Errorf("replayed: %d", rec.Code)
	}
	if o := get[wire.Outcome](t, w, "developer", "POST", at+"/schedules/nightly/run", ""); o.Outcome != "ok" {
		t.Errorf("run: %+v", o)
	}
	changes := get[[]record.Change](t, w, "viewer", "GET", "/weir/changes?site_id=shop", "")
	if len(changes) != 4 || changes[0].Action != "job.replay" || changes[0].Author != "developer" || changes[0].From != "192.0.2.1" || changes[0].Site != w.site.ID ||
		changes[0].Detail["failed"] != "" || changes[2].Detail["failed"] == "" || changes[3].Detail["function"] != "nightly" {
		t.Errorf("on record: %+v", changes)
	}
	w.work.broken = true
	if rec := w.ask("developer", "DELETE", at+"/jobs/j2", ""); rec.Code != 503 || len(w.work.did) != 2 {
		t.Errorf("dropped without a record: %d %v", rec.Code, w.work.did)
	}
	if rec := w.ask("pipeline", "GET", "/weir/changes", ""); rec.Code != 403 {
		t.Errorf("a token of one site reads the changes of all: %d", rec.Code)
	}
}

func TestPastLogs(t *testing.T) {
	w := newWorld(t)
	all := get[[]wire.LogLine](t, w, "viewer", "GET", "/weir/sites/shop/logs?function=mail&request=r&since=2026-01-02T12:00:00Z&limit=7", "")
	if q := w.work.asked; q.Site != w.site.ID || q.Function != "mail" || q.Request != "r" || !q.Since.Equal(noon) || q.Limit != 7 {
		t.Errorf("asked for %+v", q)
	}
	if len(all) != 1 || all[0].Stream != "denied" || !strings.Contains(string(all[0].Record), `"http"`) {
		t.Errorf("%+v", all)
	}
	for _, query := range []string{"since=yesterday", "limit=-1", "limit=9999999"} {
		if rec := w.ask("viewer", "GET", "/weir/sites/shop/logs?"+query, ""); rec.Code != 422 {
			t.Errorf("%s: %d", query, rec.Code)
		}
	}
}

// TestLiveLogs: lines arrive as they come, silence is broken by heartbeats, and who goes is noticed.
func TestLiveLogs(t *testing.T) {
	w := newWorld(t)
	w.work.lines = make(chan logs.Line)
	w.api.beat = time.Millisecond
	gone := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer close(gone)
		w.api.ServeHTTP(rw, r)
	}))
	defer srv.Close()
	req, err := http.NewRequest("GET", srv.URL+Prefix+"/weir/sites/shop/logs/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer viewer")
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v %v", res, err)
	}
	defer res.Body.Close()
	in := bufio.NewScanner(res.Body)
	until := func(prefix string) string {
		for in.Scan() {
			if strings.HasPrefix(in.Text(), prefix) {
				return in.Text()
			}
		}
		t.Fatalf("ended before %s: %v", prefix, in.Err())
		return ""
	}
	until(": still here")
	w.work.lines <- logs.Line{Time: noon, Function: "mail", Stream: "stdout", Text: "one\n\ndata: two"}
	if got := until("data: "); !strings.Contains(got, `"text":"one\n\ndata: two"`) {
		t.Errorf("a line came as %s", got)
	}
	res.Body.Close()
	<-gone
	close(w.work.lines)
}

// revocable are tokens that are all revoked at once.
type revocable struct {
	Access
	revoked atomic.Bool
}

func (r *revocable) Authenticate(ctx context.Context, bearer, from string) (access.Identity, error) {
	if r.revoked.Load() {
		return access.Identity{}, &weir.Error{Code: weir.Unknown, Message: "the token is not known, or was revoked"}
	}
	return r.Access.Authenticate(ctx, bearer, from)
}

// TestLiveLogsOfARevokedToken: who may no longer read a log does not go on with it.
func TestLiveLogsOfARevokedToken(t *testing.T) {
	w := newWorld(t)
	w.work.lines = make(chan logs.Line)
	w.api.beat = time.Millisecond
	tokens := &revocable{Access: w.api.Access}
	w.api.Access = tokens
	ended := make(chan int)
	go func() { ended <- w.ask("viewer", "GET", "/weir/sites/shop/logs/stream", "").Code }()
	w.work.lines <- logs.Line{Time: noon, Function: "mail", Stream: "stdout", Text: "while it may"}
	tokens.revoked.Store(true)
	if code := <-ended; code != 200 {
		t.Errorf("it ended with %d", code)
	}
}

func TestManyTailsAreRefused(t *testing.T) {
	w := newWorld(t)
	tail := func(role string, want int) {
		t.Helper()
		if rec := w.ask(role, "GET", "/weir/sites/shop/logs/stream", ""); rec.Code != want {
			t.Errorf("one more tail: %d", rec.Code)
		}
	}
	for range 2 * maxTails {
		w.api.tails.begin("developer")
	}
	tail("developer", 429)
	tail("viewer", 200) // one token doesn't take the places of others
	for i := range maxTails {
		w.api.tails.begin(strconv.Itoa(i))
	}
	tail("viewer", 429)
}
