package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weir-run/weir/internal/api/wire"
)

// interrupt runs a command until it waits for a fifo, interrupts it and checks its exit code:
// interrupt SIGNAL CODE FIFO COMMAND ARGS…
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: interrupt SIGNAL CODE FIFO COMMAND ARGS…")
	}
	sig, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}[args[0]]
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if !ok {
		ts.Fatalf("no signal %s", args[0])
	}
	cmd := exec.Command(inPath(ts, args[3]), args[4:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "WEIR_STATE_DIR=" + ts.Getenv("WEIR_STATE_DIR")}
	var said bytes.Buffer
	cmd.Stderr = &said
	ts.Check(cmd.Start())
	writer := make(chan *os.File, 1)
	go func() { // a fifo opens for writing once it is read
		f, err := os.OpenFile(ts.MkAbs(args[2]), os.O_WRONLY, 0)
		if err == nil {
			writer <- f
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case f := <-writer:
		defer f.Close()
	case err := <-ended:
		ts.Fatalf("ended without reading %s: %v\n%s", args[2], err, &said)
	}
	ts.Check(cmd.Process.Signal(sig))
	err = <-ended
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != want || !strings.Contains(said.String(), "interrupted\n") {
		ts.Fatalf("%v, want exit code %d\n%s", err, want, &said)
	}
}

// stuck starts a server that takes a deploy and then, in the middle of an upload, waits: stuck FIFO. It opens the fifo
// when it does. Its URL is in $STUCK. A site is called "none" of which it takes no declaration: what it is asked for then
// gets into the file asked.
func stuck(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stuck FIFO")
	}
	fifo, asked := ts.MkAbs(args[0]), ts.MkAbs("asked")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/sites/{site}", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(wire.Site{ID: r.PathValue("site"), Name: r.PathValue("site")})
	})
	mux.HandleFunc("POST /api/v1/sites/{site}/deploys", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(wire.Deploy{ID: "d1", SiteID: r.PathValue("site"), State: "new"})
	})
	mux.HandleFunc("PUT /api/v1/sites/none/deploys/d1", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"weir":{"code":"invalid","message":"not these files"}}`)
	})
	mux.HandleFunc("PUT /api/v1/sites/{site}/deploys/d1", func(w http.ResponseWriter, r *http.Request) {
		var in wire.Declaration
		json.NewDecoder(r.Body).Decode(&in)
		json.NewEncoder(w).Encode(wire.Deploy{ID: "d1", State: "prepared", Required: slices.Collect(maps.Values(in.Files))})
	})
	mux.HandleFunc("POST /api/v1/deploys/d1/cancel", func(w http.ResponseWriter, r *http.Request) {
		os.WriteFile(asked, []byte("cancelled"), 0o644)
		io.WriteString(w, "{}")
	})
	var once sync.Once
	wait := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else nobody notices that the client goes
		once.Do(func() {
			if f, err := os.Open(fifo); err == nil {
				f.Close()
			}
		})
		<-r.Context().Done()
	}
	mux.HandleFunc("PUT /api/v1/deploys/d1/files/", wait)
	mux.HandleFunc("GET /api/v1/sites", wait)
	srv := httptest.NewServer(mux)
	ts.Defer(func() { srv.CloseClientConnections(); srv.Close() })
	ts.Setenv("STUCK", srv.URL)
}

// inPath is the program that a script means by a name.
func inPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, name); exec.Command(p, "--help").Run() == nil {
			return p
		}
	}
	ts.Fatalf("there is no %s", name)
	return ""
}
