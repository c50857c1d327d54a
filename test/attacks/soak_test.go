package attacks

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestSoak mixes load and attacks for as long as WEIR_SOAK says, then looks for what grew.
func TestSoak(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("WEIR_SOAK"))
	if err != nil {
		t.Skip("a long run: make soak, or WEIR_SOAK=10m")
	}
	site, canary := siteCopy(t, os.Getuid())
	world := newWorld(t)
	w := start(t, os.Getuid(), site, world.flags...)
	event := map[string]any{"port": "1", "canary": canary, "site": site}
	mix := func(until time.Time) {
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for time.Now().Before(until) {
					switch n := rand.IntN(100); {
					case n < 80:
						if r := w.invoke(t, "limits", map[string]string{"what": "calm"}); r.Body["calm"] != "calm" {
							t.Errorf("calm: %d %s", r.Status, r.Payload)
						}
					case n < 95:
						name := []string{"authority", "paths", "network", "processes", "files"}[rand.IntN(5)]
						nothingOpen(t, name, w.invoke(t, name, event), 1)
					default:
						what := []string{"exit", "abort", "memory", "log", "tmp", "reject"}[rand.IntN(6)]
						w.invoke(t, "limits", map[string]string{"what": what})
					}
				}
			})
		}
		clients.Wait()
	}
	mix(time.Now().Add(min(d/4, time.Minute))) // until everything has its working size
	before := atRest(t, w, site)
	mix(time.Now().Add(d))
	after := atRest(t, w, site)
	world.verify(t)
	t.Logf("before %+v, after %+v", before, after)
	if after.files > before.files+10 || after.kB > before.kB*3/2+50_000 {
		t.Errorf("the supervisor grew: before %+v, after %+v", before, after)
	}
}

// atRest gives the supervisor's size when it has no instances: a change of the site ends all of them.
func atRest(t *testing.T, w *weir, site string) size {
	t.Helper()
	if err := os.WriteFile(filepath.Join(site, "functions/extra.js"), []byte("exports.handler = async () => "+strconv.Itoa(rand.Int())+";\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(descendants(w.cmd.Process.Pid)) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the old instances did not end")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return sizeOf(t, w.cmd.Process.Pid)
}

// size is what a process holds.
type size struct {
	files int
	kB    int // resident memory
}

func sizeOf(t *testing.T, pid int) size {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var total, resident int
	if _, err := fmt.Sscan(string(b), &total, &resident); err != nil {
		t.Fatal(err)
	}
	return size{len(fds), resident * os.Getpagesize() / 1024}
}
