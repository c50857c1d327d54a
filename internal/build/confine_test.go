package build

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoBuildWithoutItsConfinement: where there is Landlock, a bundler that can't be kept in is not started.
func TestNoBuildWithoutItsConfinement(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0 // the ruleset would be one more file
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err := runChild(t.Context(), job{}, nil, minTime)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var failed *os.SyscallError
	if !errors.As(err, &failed) || failed.Syscall != "landlock_create_ruleset" {
		t.Errorf("it went on: %v", err)
	}
}
