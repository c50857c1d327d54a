package main

// The first answer of a function that has no process yet, against node started for one answer.

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"
)

const trivial = "exports.handler = async () => ({ statusCode: 200, body: 'hello' });\n"

const once = "require('./functions/f00.js').handler({}, {}).then((r) => process.stdout.write(r.body));\n"

func (b *bench) cold() []figure {
	files := map[string]string{"once.js": once}
	for i := range b.n {
		files[fmt.Sprintf("functions/f%02d.js", i)] = trivial
	}
	site := b.site("cold", files)
	s := b.serve(site)
	defer s.stop()
	client := &http.Client{}
	var ours, bare []float64
	for i := range b.n {
		t := time.Now()
		s.get(client, fmt.Sprintf("f%02d", i))
		ours = append(ours, millis(t))
		t = time.Now()
		out, err := exec.Command("node", filepath.Join(site, "once.js")).Output()
		check(err)
		if string(out) != "hello" {
			check(fmt.Errorf("bare node answered %q", out))
		}
		bare = append(bare, millis(t))
	}
	return []figure{
		{name: "first answer, no process yet, median", ours: median(ours), peer: median(bare), unit: "ms", bound: 2},
		{name: "first answer, no process yet, minimum", ours: ours[0], peer: bare[0], unit: "ms", bound: 2},
	}
}

func millis(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }
