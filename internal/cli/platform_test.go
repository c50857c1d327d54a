package cli

// Commands for scripts that ask a server: weir serve, and visits of its sites.

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// serve ARGS… runs weir serve until endserve, or the script ends. WEIR_SERVER is its API, OWNER the file with the owner's token,
// SITES the address of its sites; what it says on stderr gets into serve.err.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	state, err := os.MkdirTemp(filepath.Dir(ts.Getenv("WEIR_STATE_DIR")), "serve-")
	ts.Check(err)
	ts.Check(os.Chmod(state, 0o755)) // sandboxes of root run with another uid
	cmd := exec.Command(inPath(ts, "weir"), append([]string{"serve", "--state-dir", state, "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME")}
	log, err := os.Create(ts.MkAbs("serve.err"))
	ts.Check(err)
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Value(servedKey).(*served).cmd = cmd
	ts.Defer(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	lines := bufio.NewScanner(out)
	for _, v := range []struct{ name, prefix string }{{"SITES", "ready http://"}, {"WEIR_SERVER", "api "}} {
		lines.Scan()
		value, ok := strings.CutPrefix(lines.Text(), v.prefix)
		if !ok {
			said, _ := os.ReadFile(ts.MkAbs("serve.err"))
			ts.Fatalf("weir serve said %q\n%s", lines.Text(), said)
		}
		ts.Setenv(v.name, value)
	}
	ts.Setenv("OWNER", filepath.Join(state, "owner.token"))
}

// endserve ends it, in order.
func endserve(ts *testscript.TestScript, _ bool, _ []string) {
	cmd := ts.Value(servedKey).(*served).cmd
	ts.Check(cmd.Process.Signal(os.Interrupt))
	ts.Check(cmd.Wait())
}

// visit URL WANT gets a page of a site until its status and body are as the regular expression WANT says: what was
// published is served a moment later.
func visit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: visit URL WANT")
	}
	want := regexp.MustCompile(args[1])
	req, err := http.NewRequest("GET", args[0], nil)
	ts.Check(err)
	req.URL.Host = ts.Getenv("SITES")
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.DefaultClient.Do(req)
		ts.Check(err)
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		ts.Check(err)
		got := res.Status + " " + string(body)
		if want.MatchString(got) {
			return
		}
		if time.Now().After(until) {
			said, _ := os.ReadFile(ts.MkAbs("serve.err"))
			ts.Fatalf("%s: %s\n%s", args[0], got, said)
		}
	}
}

// deployid NAME puts the id at the beginning of the last line of the last output into a variable.
func deployid(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	id, _, _ := strings.Cut(lines[len(lines)-1], " ")
	ts.Setenv(args[0], id)
}
