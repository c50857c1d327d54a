package held

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestLeftForAMoment: what a process that has ended was just starting may still hold the file. That passes.
func TestLeftForAMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sleep", "0.5")
	child.ExtraFiles = []*os.File{first} // as between fork and exec
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	first.Close()
	second, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(path); !errors.Is(err, ErrElsewhere) {
		t.Errorf("taken twice: %v", err)
	}
	first.Close()
	second, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}
