package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// deadPrefix is that of a supervisor that /proc doesn't show: it is dead or in another pid namespace.
const deadPrefix = "weir-999999999-1-"

func TestLeftOversOfTheDead(t *testing.T) {
	dir := t.TempDir()
	own, err := startTimeOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	keep := []string{fmt.Sprintf("weir-%d-%s-1", os.Getpid(), own), "weir-x-1-1", "weir-1", "other-1-1-1"}
	gone := []string{fmt.Sprintf("weir-%d-1-1", os.Getpid()), deadPrefix + "1", deadPrefix + selfSuffix}
	for _, d := range append(keep, gone...) {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	held, err := claim(filepath.Join(dir, deadPrefix+"2"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	keep = append(keep, deadPrefix+"2")
	removeLeftOvers(dir)
	for _, d := range keep {
		if _, err := os.Stat(filepath.Join(dir, d)); err != nil {
			t.Error(err)
		}
	}
	for _, d := range gone {
		if _, err := os.Stat(filepath.Join(dir, d)); err == nil {
			t.Errorf("%s is still there", d)
		}
	}
}

// TestClaimOutlastsARemoval: another Weir may take a new group for a left-over until it is locked.
func TestClaimOutlastsARemoval(t *testing.T) {
	root := t.TempDir()
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			removeLeftOvers(root)
			select {
			case <-over:
				return
			default:
			}
		}
	}()
	for n := range 500 {
		dir := filepath.Join(root, deadPrefix+fmt.Sprint(n))
		held, err := claim(dir)
		if err != nil {
			t.Error(err)
			break
		}
		if there, err := lock(dir, unix.LOCK_EX); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("%v %v, want a group that is there and locked", there, err)
		}
		unix.Rmdir(dir)
		held.Close()
	}
	close(over)
	<-done
}

// TestLeftOversAreEnded: what is in the group of a dead supervisor is killed; what is in that of a living
// one is not, whatever its pid looks like.
func TestLeftOversAreEnded(t *testing.T) {
	cg := *launcher(t, Options{}).cgroups
	cg.prefix = fmt.Sprintf("%s%d", deadPrefix, os.Getpid()) // no other run of this test has it
	g, err := cg.create(weir.Limits{}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer g.remove()
	if len(g.dirs) == 0 {
		t.Skip("no cgroup can be had by this user, so nothing can be left over in one")
	}
	cat := exec.Command("cat")
	in, err1 := cat.StdinPipe()
	out, err2 := cat.StdoutPipe()
	if err := errors.Join(err1, err2, cat.Start()); err != nil {
		t.Fatal(err)
	}
	var ended error
	wait := sync.OnceFunc(func() { ended = cat.Wait() })
	defer wait()
	defer cat.Process.Kill()
	for _, dir := range g.dirs {
		if err := write(dir, "cgroup.procs", int64(cat.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func() {
		for _, dir := range g.dirs {
			removeLeftOvers(filepath.Dir(dir))
		}
	}

	sweep()
	io.WriteString(in, "alive\n")
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "alive\n" {
		t.Fatalf("what is in a living supervisor's group was ended: %q %v", line, err)
	}

	for _, f := range g.held {
		f.Close() // as the kernel does when the supervisor ends
	}
	sweep()
	defer time.AfterFunc(10*time.Second, func() { cat.Process.Signal(unix.SIGTERM) }).Stop()
	wait()
	if ws := cat.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != unix.SIGKILL {
		t.Errorf("what is in a dead supervisor's group was not ended: %v", ended)
	}
	for _, dir := range g.dirs {
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
			removeLeftOvers(filepath.Dir(dir)) // the kernel may still be taking the process down
			if _, err := os.Stat(dir); err != nil {
				break
			}
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}
