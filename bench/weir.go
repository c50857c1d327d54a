package main

// Serving a site with the weir binary, as a user does.

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

type bench struct {
	weir string
	dir  string
	n    int
}

// site writes files (path to content) as a site and gives its folder.
func (b *bench) site(name string, files map[string]string) string {
	dir := filepath.Join(b.dir, name)
	files["netlify.toml"] = "[functions]\ndirectory = \"functions\"\n"
	for path, content := range files {
		p := filepath.Join(dir, path)
		check(os.MkdirAll(filepath.Dir(p), 0o755))
		check(os.WriteFile(p, []byte(content), 0o644))
	}
	return dir
}

type served struct {
	cmd *exec.Cmd
	url string
}

func (b *bench) serve(site string, flags ...string) *served {
	cmd := exec.Command(b.weir, append([]string{"dev", site, "--port", "0"}, flags...)...)
	cmd.Env = append(os.Environ(), "WEIR_STATE_DIR="+filepath.Join(b.dir, "state"))
	log, err := os.Create(filepath.Join(b.dir, "weir.log"))
	check(err)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	check(err)
	check(cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		text, _ := os.ReadFile(log.Name())
		check(fmt.Errorf("weir dev was not ready: %s", text))
	}
	return &served{cmd, url}
}

func (s *served) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
}

// get asks a function and gives its answer's body.
func (s *served) get(client *http.Client, function string) string {
	r, err := client.Get(s.url + "/.netlify/functions/" + function)
	check(err)
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	check(err)
	if r.StatusCode != 200 {
		check(fmt.Errorf("%s answered %d: %s", function, r.StatusCode, body))
	}
	return string(body)
}
