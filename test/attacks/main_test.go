// Package attacks tries, from inside functions, every way round that we know of, against the weir
// command as users run it. What must hold is said by the outside: nothing reaches the thief, the
// allowed host receives only what the policy allows, and the function goes on answering.
package attacks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/cli"
	"github.com/weir-run/weir/internal/sandbox"
)

// ordinaryUser is the uid that stands for an ordinary user when the tests run as root.
const ordinaryUser = 54321

func TestMain(m *testing.M) {
	sandbox.Init()
	if filepath.Base(os.Args[0]) == "weir" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// weir is a running `weir dev`.
type weir struct {
	url     string
	cmd     *exec.Cmd
	records string
	mu      sync.Mutex
	log     bytes.Buffer
}

// Write takes what weir prints on stderr.
func (w *weir) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *weir) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// openDir makes a folder that every user can reach; t.TempDir's parent is its owner's alone.
func openDir(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-attacks-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start serves the site as the given user, with the host's secrets all about.
func start(t *testing.T, uid int, site string, flags ...string) *weir {
	t.Helper()
	return startIn(t, uid, openDir(t, uid), site, flags...)
}

// startIn does so with all that it keeps in dir.
func startIn(t *testing.T, uid int, dir, site string, flags ...string) *weir {
	t.Helper()
	bin := filepath.Join(dir, "weir")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Not by this process: what it has open for writing, a program that another test starts just then has open, too, and
	// what is open for writing can't be run (execve(2), ETXTBSY).
	if out, err := exec.Command("cp", "--remove-destination", self, bin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w := &weir{records: filepath.Join(dir, "records.jsonl")}
	env := filepath.Join(dir, "env")
	if err := os.WriteFile(env, []byte("PAY_API_KEY=sk_live_canary\nOTHER_SECRET=canary-other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"dev", site, "--port", "0", "--env-file", env, "--records", w.records}, flags...)
	w.cmd = exec.Command(bin, args...)
	w.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "WEIR_STATE_DIR=" + filepath.Join(dir, "state"), "WEIR_ATTACK_CANARY=canary-of-the-host"}
	w.cmd.Stderr = w
	if os.Getuid() == 0 {
		w.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.stop(t) })
	line, _ := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		w.cmd.Wait()
		t.Fatalf("weir dev was not ready:\n%s", w.logged())
	}
	w.url = url
	go io.Copy(io.Discard, out)
	return w
}

// awaitBlanks waits until n processes wait for their function. (One more than is needed has begun to start
// before the last that is needed is ready.)
func (w *weir) awaitBlanks(t *testing.T, n int) {
	t.Helper()
	w.await(t, n, "blanks", func() (found int) {
		for _, pid := range below(strconv.Itoa(w.cmd.Process.Pid)) {
			if role(pid, "blank") {
				found++
			}
		}
		return found
	})
}

// zygotes gives the processes that are forked for functions.
func (w *weir) zygotes() (pids []string) {
	for _, gate := range below(strconv.Itoa(w.cmd.Process.Pid)) {
		for _, pid := range below(gate) {
			if role(pid, "zygote") {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// awaitForked waits until there are n forked processes.
func (w *weir) awaitForked(t *testing.T, n int) {
	t.Helper()
	w.await(t, n, "forked processes", func() (found int) {
		for _, pid := range w.zygotes() {
			found += len(below(pid))
		}
		return found
	})
}

func (w *weir) await(t *testing.T, n int, what string, count func() int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); ; {
		found := count()
		if found >= n {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d of %d %s have started:\n%s", found, n, what, w.logged())
		}
	}
}

// below gives the children of a process.
func below(pid string) (pids []string) {
	files, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
	for _, file := range files {
		b, _ := os.ReadFile(file)
		pids = append(pids, strings.Fields(string(b))...)
	}
	return pids
}

// role tells whether the command line of a process ends with a word.
func role(pid, word string) bool {
	line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
	return bytes.HasSuffix(line, []byte("\x00"+word+"\x00"))
}

func (w *weir) stop(t *testing.T) {
	if w.cmd.ProcessState != nil {
		return
	}
	w.cmd.Process.Signal(syscall.SIGTERM)
	w.cmd.Wait()
	if t.Failed() && testing.Verbose() {
		t.Logf("weir said:\n%s", w.logged())
	}
}

// reply is what became of one invocation.
type reply struct {
	Status  int
	Failed  bool // X-Amz-Function-Error
	Payload string
	Body    map[string]string // the attempts and their outcomes, if the function answered with some
}

// invoke calls a function by the Lambda Invoke API.
func (w *weir) invoke(t *testing.T, name string, event any) reply {
	t.Helper()
	raw, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(w.url+"/2015-03-31/functions/"+name+"/invocations", "application/json", bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	out := reply{Status: r.StatusCode, Failed: r.Header.Get("X-Amz-Function-Error") != "", Payload: string(b)}
	var res struct{ Body string }
	if json.Unmarshal(b, &res) == nil {
		json.Unmarshal([]byte(res.Body), &out.Body)
	}
	return out
}
