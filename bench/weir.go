package main

// Weir and its configurations, driven as a user does: by the binary and weir.toml.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/bench/load"
	"github.com/weir-run/weir/bench/report"
)

// config is a way of running functions under Weir.
type config struct {
	name  string
	rules string   // what weir.toml says of every function
	flags []string // of weir dev
}

var (
	plain     = config{name: "weir"}
	twoAtOnce = config{name: "weir, two instances", flags: []string{"--max-instances", "2"}}
	many      = config{name: "weir, concurrency = 32", rules: "concurrency = 32\n"}
	apart     = config{name: `weir, isolation = "request"`, rules: "isolation = \"request\"\n"}
	forked    = config{name: "weir, forked", flags: []string{"--blanks", "0"}}
	noPool    = config{name: "weir, no pool", flags: []string{"--blanks", "0"}}
	noZygote  = config{name: "weir, no zygote", flags: []string{"--no-zygotes"}}
	apartSlow = config{name: `weir, isolation = "request", no zygote`, rules: apart.rules, flags: noZygote.flags}
)

// errNotBuilt is of a configuration that this binary doesn't know.
var errNotBuilt = errors.New(report.NotBuilt)

var (
	unknown   = regexp.MustCompile(`unknown flag|not supported by this version`)
	readyLine = regexp.MustCompile(`(?m)^ready (http://\S+)$`)
)

// weir serves a site; the target is the function of the name.
func (b *bench) weir(c config, site, function string, flags ...string) (*server, error) {
	if c.rules != "" {
		if err := os.WriteFile(filepath.Join(site, "weir.toml"), []byte("[functions.\"*\"]\n"+c.rules), 0o644); err != nil {
			return nil, err
		}
	}
	args := slices.Concat([]string{"dev", site, "--port", "0", "--node", b.node}, c.flags, flags)
	cmd := exec.Command(b.bin, args...)
	cmd.Env = append(os.Environ(), "WEIR_STATE_DIR="+b.state)
	s, err := b.launch(cmd, load.Target{Want: "hello"})
	if err != nil {
		return nil, err
	}
	s.records = recordsOf(site)
	for {
		text, err := os.ReadFile(s.log)
		if err != nil {
			return nil, err
		}
		if m := readyLine.FindSubmatch(text); m != nil {
			s.target.URL = string(m[1]) + "/.netlify/functions/" + function
			return s, nil
		}
		select {
		case <-s.ended:
			if unknown.MatchString(s.said()) {
				return nil, errNotBuilt
			}
			return nil, fmt.Errorf("weir dev ended: %s", s.said())
		case <-time.After(time.Millisecond):
		}
	}
}

// recordsOf gives the file for a site's records, if they are wanted: beside the site, so that it is no part of it.
func recordsOf(site string) string { return site + ".jsonl" }

// started counts the processes of the invocations on record by how they came to be.
func (s *server) started() map[string]int {
	count := map[string]int{}
	f, err := os.Open(s.records)
	if err != nil {
		return count
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r struct{ Start string }
		if json.Unmarshal(lines.Bytes(), &r) == nil && r.Start != "" {
			count[r.Start]++
		}
	}
	return count
}

// starts tells the same: "pool 18, process 2".
func (s *server) starts() string {
	var out []string
	for start, n := range s.started() {
		out = append(out, fmt.Sprintf("%s %d", start, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
