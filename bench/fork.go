package main

// Instances that are forked from a process that has loaded their function: how soon the first answer comes,
// and how many requests are served by a process for each, against node started for one answer.

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// holding is a handler that keeps its instance busy if it is asked to.
const holding = `exports.handler = async (e) => {
  if (e.queryStringParameters?.hold) await new Promise((r) => setTimeout(r, 50000));
  return { statusCode: 200, body: 'hello' };
};
`

// heldInstances bounds how many instances of one function are kept busy: it may have 32.
const heldInstances = 25

// forked measures the first answer of an instance while all others are busy.
func (b *bench) forked() []figure {
	var out []figure
	for _, c := range coldCases {
		source := c.source[:len(c.source)-len(trivial)] + holding
		site, ok := b.coldSite("fork-"+c.name, source, c.packages)
		if !ok {
			continue
		}
		ours, bare := b.forkedAnswers(site)
		out = append(out, figure{name: "first answer, forked, " + c.name, ours: median(ours), peer: median(bare), unit: "ms", bound: 0.12})
		if c.name == "stripe" {
			check(os.WriteFile(filepath.Join(site, "weir.toml"), []byte("[functions.\"*\"]\nisolation = \"request\"\n"), 0o644))
			out = append(out, figure{name: "requests with a process each, three at a time, stripe", ours: b.isolated(site), peer: 1000 / median(bare), unit: "/s"})
		}
	}
	return out
}

func (b *bench) forkedAnswers(site string) (ours, bare []float64) {
	records := filepath.Join(b.dir, "forked.jsonl")
	os.Remove(records)
	s := b.serve(site, "--records", records)
	defer s.stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	s.get(client, "f00")
	time.Sleep(3 * time.Second) // the zygote gets ready
	n := min(b.n, heldInstances)
	for i := range n {
		go func() { // ends with the server
			if r, err := client.Get(s.url + "/.netlify/functions/f00?hold=1"); err == nil {
				r.Body.Close()
			}
		}()
		time.Sleep(300 * time.Millisecond) // it is taken by the instance that is idle, and all comes to rest
		t := time.Now()
		s.get(client, "f00")
		ours = append(ours, millis(t))
		bare = append(bare, b.once(site, i%b.n))
	}
	if text, err := os.ReadFile(records); err != nil || bytes.Count(text, []byte(`"start":"zygote"`)) != n {
		check(fmt.Errorf("not all of %d instances were forked: %v", n, err))
	}
	return ours, bare
}

// isolated gives how many requests a second three callers get answered.
func (b *bench) isolated(site string) float64 {
	s := b.serve(site)
	defer s.stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 3}}
	s.get(client, "f00")
	time.Sleep(3 * time.Second)
	const seconds, callers = 4, 3
	var counts [callers]int
	var done sync.WaitGroup
	start := time.Now()
	for i := range counts {
		done.Go(func() {
			for time.Since(start) < seconds*time.Second {
				s.get(client, "f00")
				counts[i]++
			}
		})
	}
	done.Wait()
	return float64(counts[0]+counts[1]+counts[2]) / time.Since(start).Seconds()
}
