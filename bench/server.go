package main

// Processes that answer: started, awaited and ended alike, whoever they are.

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weir-run/weir/bench/load"
)

// server is a running contender.
type server struct {
	cmd     *exec.Cmd
	target  load.Target // a warm function of it
	log     string      // the file of what it wrote
	records string      // Weir's records, if any
	ended   chan struct{}
}

// startTime is how long a contender may take until it answers.
const startTime = time.Minute

// launch starts a process in a process group of its own, so that all of it can be ended; it does not outlive the run.
func (b *bench) launch(cmd *exec.Cmd, target load.Target) (*server, error) {
	log, err := os.CreateTemp(b.dir, "log-")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, target: target, log: log.Name(), ended: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// await asks until the answer is what is wanted.
func (s *server) await() error {
	deadline := time.Now().Add(startTime)
	for {
		err := ask(s.target)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("ended: %s", s.said())
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.stop()
			return fmt.Errorf("no answer within %v: %v: %s", startTime, err, s.said())
		}
	}
}

// said gives the end of what the process wrote, in one line.
func (s *server) said() string {
	text, _ := os.ReadFile(s.log)
	text = text[max(0, len(text)-200):]
	return strings.Join(strings.Fields(string(text)), " ")
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
	}
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	<-s.ended
}

// fresh is a client that keeps no connection.
var fresh = &http.Client{Timeout: startTime, Transport: &http.Transport{DisableKeepAlives: true}}

// ask wants one answer.
func ask(t load.Target) error {
	_, err := fetch(t)
	return err
}

// fetch gives one answer's body; it must hold what is wanted.
func fetch(t load.Target) (string, error) {
	method := t.Method
	if method == "" {
		method = "GET"
	}
	r, err := http.NewRequest(method, t.URL, strings.NewReader(t.Body))
	if err != nil {
		return "", err
	}
	answer, err := fresh.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if answer.StatusCode != 200 || !strings.Contains(string(body), t.Want) {
		return "", fmt.Errorf("%d %.200s", answer.StatusCode, body)
	}
	return string(body), nil
}

// freePort gives a port that nobody listens on.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// siteOf gives a contender its site: to each configuration of Weir its own, since its policy is in it, and to all peers
// the same.
func (b *bench) siteOf(c contender, functions map[string]string, shared *string) (string, error) {
	if isOurs(c.name) {
		return b.site(functions)
	}
	var err error
	if *shared == "" {
		*shared, err = b.site(functions)
	}
	return *shared, err
}

// site makes a site of functions (name to source) with the packages that they use, and gives its folder.
func (b *bench) site(functions map[string]string) (string, error) {
	dir, err := os.MkdirTemp(b.dir, "site-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	files := map[string]string{
		"netlify.toml": "[functions]\ndirectory = \"functions\"\n",
		"package.json": `{ "private": true, "type": "commonjs" }`,
	}
	needs := false // something that is to be required
	for name, source := range functions {
		files["functions/"+name+".js"] = source
		needs = needs || strings.Contains(source, "require('")
	}
	for path, content := range files {
		p := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	packages := filepath.Join(b.cache, "functions/node_modules")
	if _, err := os.Stat(packages); err != nil || !needs {
		return dir, nil
	}
	// Hard links: a site's packages must lie in the site, and 50 MB are not to be copied for each.
	return dir, exec.Command("cp", "-rl", packages, dir).Run()
}

// source gives a measured function's source.
func source(handler string) string {
	text, err := own.ReadFile("functions/" + handler + ".js")
	check(err)
	return string(text)
}
