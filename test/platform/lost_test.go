package platform

// One of several servers is lost in the middle of what it does, and another one ends that.

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/test/platform/served"
)

// caller is called by functions of two servers. Whoever asks for /hold is held until its process is gone, if that is
// one of the first server's.
type caller struct {
	ports [2]int        // at which each server's functions find it
	held  chan struct{} // told of each that is held
	freed chan struct{} // told of each that isn't

	mu    sync.Mutex
	holds map[string]int // calls of /hold by job
	ticks map[string]int // calls of /tick by minute
}

func newCaller(t *testing.T) *caller {
	c := &caller{held: make(chan struct{}, 100), freed: make(chan struct{}, 100), holds: map[string]int{}, ticks: map[string]int{}}
	for i := range c.ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.ports[i] = l.Addr().(*net.TCPAddr).Port
		srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { c.called(i, r) })}
		go srv.Serve(l)
		t.Cleanup(func() { srv.Close() })
	}
	return c
}

func (c *caller) called(by int, r *http.Request) {
	c.mu.Lock()
	if r.URL.Path == "/tick" {
		c.ticks[time.Now().Format("15:04")]++
	} else {
		c.holds[r.URL.RawQuery]++
	}
	c.mu.Unlock()
	switch {
	case r.URL.Path == "/tick":
	case by == 0:
		c.held <- struct{}{}
		<-r.Context().Done()
	default:
		c.freed <- struct{}{}
	}
}

// flags gives those of each server.
func (c *caller) flags(server int) []string {
	return []string{"--resolve", fmt.Sprintf("calls.test=127.0.0.1:%d", c.ports[server])}
}

// TestServerThatIsLost kills one of two servers during a background run, an upload, and the processing of a deploy: the
// other one runs the function again, takes the rest of the upload, and ends the deploy. Meanwhile each tick of a schedule
// has one run.
func TestServerThatIsLost(t *testing.T) {
	t.Parallel()
	calls := newCaller(t)
	_, servers := cluster(t, calls.flags(0), calls.flags(1))
	a, b := servers[0], servers[1]
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	shop, err := a.CreateSite(ctx, "shop")
	must(err)
	half, err := a.CreateSite(ctx, "half")
	must(err)
	source := func(path string) served.Source {
		return served.Archive(path, `exports.handler = async () => { await fetch("http://calls.test/`+path+`"); return { statusCode: 200 } }`)
	}
	may := "http = [\"GET http://calls.test/**\"]\n"
	_, err = a.Deploy(ctx, shop.ID, served.Content{
		Files:     map[string]served.Source{"_weir.toml": served.Bytes([]byte("[functions.hold-background]\n" + may + "[functions.tick]\n" + may))},
		Functions: map[string]served.Source{"hold-background": served.Archive("hold-background", `exports.handler = async (event) => { await fetch("http://calls.test/hold?" + Object.keys(event.queryStringParameters)[0]) }`), "tick": source("tick")},
		Schedules: []wire.FunctionSchedule{{Name: "tick", Cron: "* * * * *"}},
	})
	must(err)
	held := 0
	eventually(t, "a background run on the first server", func() bool {
		held++
		status, _, err := a.Get(ctx, "POST", "shop.localhost", fmt.Sprintf("/.netlify/functions/hold-background?%d", held))
		if err != nil || status != http.StatusAccepted {
			return false
		}
		select {
		case <-calls.held:
			return true
		case <-calls.freed: // the second server was faster
			return false
		}
	})

	c := served.Content{Files: map[string]served.Source{"a": served.Bytes([]byte("a")), "b": served.Bytes(make([]byte, 3<<20))}, Functions: map[string]served.Source{"f": source("f")}}
	parts, err := c.Parts()
	must(err)
	begin := func(s *server) wire.Deploy {
		d, err := s.BeginDeploy(ctx, half.ID, wire.NewDeploy{})
		must(err)
		d, err = s.Declare(ctx, half.ID, d.ID, c.Declaration(parts))
		must(err)
		return d
	}
	halfUploaded, processed := begin(a), begin(a)
	reached := make(chan struct{})
	for _, u := range parts {
		must(a.Upload(ctx, processed.ID, []client.Upload{u.Upload}, nil))
		if u.Path == "b" {
			u.Upload.Open = func() (io.ReadCloser, error) { return io.NopCloser(&stuck{t, reached}), nil }
			go a.Upload(ctx, halfUploaded.ID, []client.Upload{u.Upload}, nil)
		} else if u.Path == "a" {
			must(a.Upload(ctx, halfUploaded.ID, []client.Upload{u.Upload}, nil))
		}
	}
	<-reached
	a.kill()

	began := time.Now()
	_, err = b.Whole(ctx, processed)
	must(err)
	t.Logf("a deploy that was being processed is ready %v later", time.Since(began))
	halfUploaded, err = b.Client.Deploy(ctx, halfUploaded.ID)
	must(err)
	for _, u := range parts {
		must(b.Upload(ctx, halfUploaded.ID, []client.Upload{u.Upload}, nil))
	}
	_, err = b.Whole(ctx, halfUploaded)
	must(err)
	if !b.shows("half.localhost", "/a", "a") {
		t.Error("what two servers have received half of each is not served")
	}
	select {
	case <-calls.freed:
		t.Logf("the background function is run again %v later", time.Since(began))
	case <-time.After(2 * time.Minute):
		t.Error("a background function is not run again whose server was lost")
	}
	if os.Getenv("WEIR_SOAK") != "" {
		time.Sleep(3*time.Minute - time.Since(began)) // for ticks
	}
	calls.mu.Lock()
	defer calls.mu.Unlock()
	for job, n := range calls.holds {
		if n > 2 {
			t.Errorf("the job %s was run %d times", job, n)
		}
	}
	for minute, n := range calls.ticks {
		if n != 1 {
			t.Errorf("%d runs at %s", n, minute)
		}
	}
	t.Logf("ticks: %v", calls.ticks)
}

// stuck is an upload that stops in the middle.
type stuck struct {
	t       *testing.T
	reached chan struct{}
}

func (s *stuck) Read(p []byte) (int, error) {
	if s.reached != nil {
		n := min(len(p), 1<<10)
		close(s.reached)
		s.reached = nil
		return n, nil
	}
	<-s.t.Context().Done()
	return 0, io.ErrUnexpectedEOF
}
