package jobs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/store/natsstore"
)

const killedDir = "WEIR_TEST_JOBS_DIR" // set: this process works there until it is killed

// workUntilKilled accepts jobs, and prints each when it was accepted; it runs them, and writes to a file when a run
// begins and ends.
func workUntilKilled(dir string) error {
	ctx := context.Background()
	st, err := natsstore.Open(ctx, natsstore.Options{Dir: filepath.Join(dir, "store")})
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "runs"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s, err := Open(ctx, Options{Store: st, Runner: logged{log}, Lease: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	go s.Work(ctx)
	if os.Getenv("WEIR_TEST_JOBS_LAST") == "" {
		for i := 0; ; i++ {
			id := fmt.Sprintf("%d-%d", os.Getpid(), i)
			if err := s.Accept(ctx, job("site"+fmt.Sprint(i%3), id)); err != nil {
				return err
			}
			fmt.Println(id)
			time.Sleep(5 * time.Millisecond) // a store is not what is tested
		}
	}
	for {
		if left := s.infos(func(r *row) bool { return r.State != Dead }); len(left) == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for _, d := range s.infos(func(*row) bool { return true }) {
		fmt.Println("dead", d.ID, d.Runs)
	}
	st.Close()
	os.Exit(0)
	return nil
}

// logged is a runner whose runs take a while.
type logged struct{ to *os.File }

func (l logged) Run(_ context.Context, j Job) (Outcome, error) {
	fmt.Fprintln(l.to, "begin", j.ID)
	time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
	fmt.Fprintln(l.to, "end", j.ID)
	return Outcome{OK, ""}, nil
}

// TestKilledServer: nothing that was accepted is lost, and nothing runs more often than promised, whenever the server
// is killed.
func TestKilledServer(t *testing.T) {
	dir := t.TempDir()
	var accepted []string
	for range kills(10) {
		accepted = append(accepted, killedServer(t, dir, 1+rand.IntN(20))...)
	}
	t.Setenv("WEIR_TEST_JOBS_LAST", "1")
	dead := map[string]bool{}
	for _, line := range killedServer(t, dir, -1) {
		dead[strings.Fields(line)[1]] = true
	}
	b, err := os.ReadFile(filepath.Join(dir, "runs"))
	ok(t, err)
	begun, ended := map[string]int{}, map[string]int{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		what, id, _ := strings.Cut(line, " ")
		map[string]map[string]int{"begin": begun, "end": ended}[what][id]++
	}
	again := 0
	for _, id := range accepted {
		if ended[id] == 0 && !dead[id] {
			t.Errorf("%s was accepted and is lost", id)
		}
		if begun[id] > 1 {
			again++
		}
	}
	for id, n := range begun {
		if n > MaxRuns {
			t.Errorf("%s was run %d times", id, n)
		}
	}
	t.Logf("%d accepted, %d begun again, %d dead letters", len(accepted), again, len(dead))
	if len(accepted) < 20 {
		t.Errorf("only %d jobs were accepted: nothing was tried", len(accepted))
	}
}

// killedServer starts a server, kills it after so many lines, -1 for never, and gives them.
func killedServer(t *testing.T, dir string, after int) (lines []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	for in := bufio.NewScanner(out); in.Scan(); {
		if lines = append(lines, in.Text()); len(lines) == after {
			cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); (after < 0) != (err == nil) || cmd.ProcessState.Exited() != (after < 0) {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	return lines
}

// kills gives how often it is tried: more, if there is time.
func kills(n int) int {
	if os.Getenv("WEIR_SOAK") != "" {
		return 100
	}
	return n
}
