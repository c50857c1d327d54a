package main

// The first answer of a function that has no process yet, against node started for one answer.

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const trivial = "exports.handler = async () => ({ statusCode: 200, body: 'hello' });\n"

// coldCases are functions by what they load.
var coldCases = []struct {
	name, source string
	packages     []string // in the versions that the bounds were set with
}{
	{"trivial", trivial, nil},
	{"stripe", "const Stripe = require('stripe');\nnew Stripe('sk_test');\n" + trivial, []string{"stripe@17.7.0"}},
	{"heavy", "require('@aws-sdk/client-s3'); require('lodash'); require('express');\n" + trivial,
		[]string{"@aws-sdk/client-s3@3.717.0", "lodash@4.17.21", "express@4.21.2"}},
}

// cold measures starts from nothing, and those in which a process waited, with time to get ready again
// between them.
func (b *bench) cold() []figure {
	var out []figure
	for _, c := range coldCases {
		site, ok := b.coldSite(c.name, c.source, c.packages)
		if !ok {
			continue
		}
		nothing, bare := b.firstAnswers(site, 0)
		blank, bareBeside := b.firstAnswers(site, 2)
		out = append(out,
			figure{name: "first answer, from nothing, " + c.name, ours: median(nothing), peer: median(bare), unit: "ms", bound: 2},
			figure{name: "first answer, a process waited, " + c.name, ours: median(blank), peer: median(bareBeside), unit: "ms", bound: 0.6})
	}
	return out
}

// coldSite writes n equal functions and installs what they load; false if that can't be had.
func (b *bench) coldSite(name, source string, packages []string) (string, bool) {
	files := map[string]string{"package.json": "{}"}
	for i := range b.n {
		files[fmt.Sprintf("functions/f%02d.js", i)] = source
		files[fmt.Sprintf("once%02d.js", i)] = fmt.Sprintf("require('./functions/f%02d.js').handler({}, {}).then((r) => process.stdout.write(r.body));\n", i)
	}
	site := b.site("cold-"+name, files)
	if len(packages) > 0 {
		npm := exec.Command("npm", append([]string{"install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--loglevel=error"}, packages...)...)
		npm.Dir = site
		if text, err := npm.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s is left out, its packages can't be had: %v\n%s", name, err, text)
			return "", false
		}
	}
	return site, true
}

// firstAnswers gives the times of each function's first answer and of bare node's, in turns, in ms.
func (b *bench) firstAnswers(site string, blanks int) (ours, bare []float64) {
	s := b.serve(site, "--no-zygotes", "--blanks", fmt.Sprint(blanks))
	defer s.stop()
	client := &http.Client{}
	for i := range b.n {
		time.Sleep(500 * time.Millisecond) // a process gets ready, and what served before comes to rest
		t := time.Now()
		s.get(client, fmt.Sprintf("f%02d", i))
		ours = append(ours, millis(t))
		bare = append(bare, b.once(site, i))
	}
	return ours, bare
}

// once gives how long bare node takes for one answer, in ms.
func (b *bench) once(site string, i int) float64 {
	t := time.Now()
	text, err := exec.Command("node", filepath.Join(site, fmt.Sprintf("once%02d.js", i))).Output()
	check(err)
	if string(text) != "hello" {
		check(fmt.Errorf("bare node answered %q", text))
	}
	return millis(t)
}

func millis(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }
