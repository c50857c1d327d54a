package main

// The memory of an idle instance, against an idle bare Node that has loaded the same handler.

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const idle = "require('./functions/f0.js'); console.log('idle'); setInterval(() => {}, 1e6);\n"

// side is how many processes of each kind run at once, so that both share their pages alike.
const side = 3

func (b *bench) memory() []figure {
	files := map[string]string{"idle.js": idle}
	for i := range side {
		files[fmt.Sprintf("functions/f%d.js", i)] = trivial
	}
	site := b.site("memory", files)
	s := b.serve(site, "--blanks", "0") // as the processes that wait are nobody's
	defer s.stop()
	var ours, bare float64
	var pids []int
	for i := range side {
		s.get(&http.Client{}, fmt.Sprintf("f%d", i))
		node := exec.Command("node", filepath.Join(site, "idle.js"))
		out, err := node.StdoutPipe()
		check(err)
		check(node.Start())
		defer func() { node.Process.Kill(); node.Wait() }()
		_, err = out.Read(make([]byte, 16)) // it is idle now
		check(err)
		pids = append(pids, node.Process.Pid)
	}
	time.Sleep(2 * time.Second) // let both come to rest
	for _, pid := range pids {
		bare += pss(pid) / side
	}
	for _, pid := range instances(s.cmd.Process.Pid) {
		ours += pss(pid) / side
	}
	return []figure{{name: "idle instance, proportional set size", ours: ours, peer: bare, unit: "MB", bound: 1.1}}
}

// instances gives the processes that a server has started for functions.
func instances(server int) []int {
	var out []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", server))
	check(err)
	for _, f := range tasks {
		b, err := os.ReadFile(f)
		check(err)
		for _, pid := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(pid)
			check(err)
			out = append(out, n)
		}
	}
	if len(out) != side {
		check(fmt.Errorf("%d instances, want %d", len(out), side))
	}
	return out
}

var pssLine = regexp.MustCompile(`(?m)^Pss:\s+(\d+) kB`)

// pss gives the proportional set size of a process in MB (proc_pid_smaps(5)).
func pss(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	check(err)
	m := pssLine.FindSubmatch(b)
	if m == nil {
		check(fmt.Errorf("no Pss of process %d", pid))
	}
	kb, err := strconv.Atoi(string(m[1]))
	check(err)
	return float64(kb) / 1024
}
