package attacks

import (
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waitGone waits until a process has ended, by its pidfd if it still can be had.
func waitGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(n, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(fd)
	if ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(5*time.Second/time.Millisecond)); ready == 0 || err != nil {
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		t.Errorf("process %s survived: %s (%v)", pid, line, err)
	}
}
