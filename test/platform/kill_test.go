package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/test/platform/served"
)

// rounds is how often the server is killed.
func rounds() int {
	if os.Getenv("WEIR_SOAK") != "" {
		return 100
	}
	return 10
}

// sink counts the runs of background functions, which call it, by id.
type sink struct {
	port int
	mu   sync.Mutex
	hits map[string]int
}

func newSink(t *testing.T) *sink {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{port: l.Addr().(*net.TCPAddr).Port, hits: map[string]int{}}
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hits[strings.TrimPrefix(r.URL.Path, "/run/")]++
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return s
}

// acknowledged is what the server has said that it has.
type acknowledged struct {
	mu       sync.Mutex
	version  int // of the site, ready
	variable int
	tried    int             // the last value of either that was sent
	runs     map[string]bool // ids of invocations answered with 202
}

// TestKilledAtAnyMoment: whatever was acknowledged is there after the server was killed in the middle of deploys,
// changes of variables and background runs.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	runs := newSink(t)
	s := newServer(t, "--resolve", fmt.Sprintf("sink.test=127.0.0.1:%d", runs.port))
	s.start()
	ctx := t.Context()
	site, err := s.CreateSite(ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	work := served.Archive("work-background", `exports.handler = async (event) => { await fetch("http://sink.test/run/" + event.queryStringParameters.id) }`)
	rules := served.Bytes([]byte("[functions.work-background]\nhttp = [\"GET http://sink.test/**\"]\n"))
	version := func(n int) served.Content {
		return served.Content{Files: map[string]served.Source{"index.html": served.Bytes([]byte(strconv.Itoa(n))), "_weir.toml": rules},
			Functions: map[string]served.Source{"work-background": work}}
	}
	if _, err := s.Deploy(ctx, site.ID, version(0)); err != nil {
		t.Fatal(err)
	}
	ack := &acknowledged{runs: map[string]bool{}}
	for round := range rounds() {
		s.useAndKill(site.ID, ack, version, time.Duration(300+rand.IntN(1200))*time.Millisecond)
		s.start()
		s.compare(site.ID, ack)
		if t.Failed() {
			t.Fatalf("after %d kills", round+1)
		}
	}
	deadline := time.Now().Add(4 * time.Minute) // a run that was cut off is run again after a while
	for id := range ack.runs {
		for {
			runs.mu.Lock()
			n := runs.hits[id]
			runs.mu.Unlock()
			if n > 3 {
				t.Errorf("%s was run %d times", id, n)
			}
			if n > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s was accepted and never run", id)
			}
			time.Sleep(50 * time.Millisecond) // polling what nobody tells of
		}
	}
	t.Logf("%d deploys or variables were tried, %d background runs accepted", ack.tried, len(ack.runs))
}

// useAndKill deploys, sets variables and calls a background function for a while, and kills the server then.
func (s *server) useAndKill(site string, ack *acknowledged, version func(int) served.Content, after time.Duration) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var all sync.WaitGroup
	again := func(use func(n int) error, done func(n int)) {
		all.Go(func() {
			for ctx.Err() == nil {
				ack.mu.Lock()
				ack.tried++
				n := ack.tried
				ack.mu.Unlock()
				if use(n) == nil {
					ack.mu.Lock()
					done(n)
					ack.mu.Unlock()
				}
			}
		})
	}
	again(func(n int) error { _, err := s.Deploy(ctx, site, version(n)); return err }, func(n int) { ack.version = n })
	again(func(n int) error {
		return s.SetVariables(ctx, site, []wire.Variable{{Key: "V", Values: []wire.Value{{Context: "all", Value: strconv.Itoa(n)}}}})
	}, func(n int) { ack.variable = n })
	again(func(n int) error {
		status, body, err := s.Get(ctx, "POST", "shop.localhost", "/.netlify/functions/work-background?id="+strconv.Itoa(n))
		if err == nil && status != http.StatusAccepted {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	}, func(n int) { ack.runs[strconv.Itoa(n)] = true })
	time.Sleep(after) // the moment is what is tried
	s.kill()
	cancel()
	all.Wait()
}

// compare holds what the server has against what it acknowledged.
func (s *server) compare(site string, ack *acknowledged) {
	s.t.Helper()
	ctx := s.t.Context()
	deadline := time.Now().Add(20 * time.Second)
	for {
		status, body, err := s.Get(ctx, "GET", "shop.localhost", "/")
		if n, _ := strconv.Atoi(body); err == nil && status == 200 && n >= ack.version && n <= ack.tried {
			break
		}
		if time.Now().After(deadline) {
			s.t.Errorf("version %d was ready, and now there is: %d %s %v", ack.version, status, body, err)
			break
		}
		time.Sleep(20 * time.Millisecond) // polling, as clients do
	}
	vars, err := s.Variables(ctx, site)
	if err != nil {
		s.t.Fatal(err)
	}
	got := 0
	for _, v := range vars {
		if v.Key == "V" {
			got, _ = strconv.Atoi(v.Values[0].Value)
		}
	}
	if got < ack.variable || got > ack.tried {
		b, _ := json.Marshal(vars)
		s.t.Errorf("the variable was %d, and is: %s", ack.variable, b)
	}
}
