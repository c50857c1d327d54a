// Package served runs weir serve in a process of its own and deploys to it, for who tests or measures the whole.
package served

// The process: started, asked, ended.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/weir-run/weir/internal/api/client"
)

// Options say which program is run, and how.
type Options struct {
	Command string   // the weir binary
	Env     []string // besides this process's own
	Dir     string   // its state directory
	Flags   []string // of weir serve
	Log     io.Writer
	User    *syscall.SysProcAttr // as whom it runs; nil: as this process
}

// Server is a weir serve that has told that it is ready, with a client once there is one.
type Server struct {
	*client.Client
	Sites, API string // its URLs
	Token      string
	cmd        *exec.Cmd
}

// Start starts a server on free ports of 127.0.0.1, waits until it is ready, and gives its client. It must be ended by
// Kill or Stop.
func Start(o Options) (*Server, error) {
	s, err := Launch(o)
	if err != nil {
		return nil, err
	}
	if err := s.Connect(o.Dir); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// Launch is Start without a client.
func Launch(o Options) (_ *Server, err error) {
	s := &Server{cmd: exec.Command(o.Command, append([]string{"serve", "--state-dir", o.Dir, "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"}, o.Flags...)...)}
	s.cmd.Env = append(os.Environ(), o.Env...)
	s.cmd.Stderr, s.cmd.SysProcAttr, s.cmd.Dir = o.Log, o.User, o.Dir
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for s.API == "" && lines.Scan() {
		word, url, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "ready":
			s.Sites = url
		case "api":
			s.API = url
		}
	}
	if s.API == "" {
		s.Kill()
		return nil, errors.New("weir serve ended instead of serving")
	}
	return s, nil
}

// Connect gives the server a client with the first owner's token, which lies in the state directory of the server that
// was there when the store was new.
func (s *Server) Connect(dir string) error {
	token, err := os.ReadFile(filepath.Join(dir, "owner.token"))
	if err != nil {
		return err
	}
	s.Token = strings.TrimSpace(string(token))
	s.Client, err = client.New(client.Options{Server: s.API, Token: s.Token})
	return err
}

// Pid gives the process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Kill ends it as a crash would.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// Terminate tells it to end, as an administrator does.
func (s *Server) Terminate() { s.cmd.Process.Signal(syscall.SIGTERM) }

// Stop ends it as an administrator does, and waits for that.
func (s *Server) Stop() {
	s.Terminate()
	s.cmd.Wait()
}

// Get asks for a path of a site.
func (s *Server) Get(ctx context.Context, method, host, path string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, s.Sites+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Host = host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}
