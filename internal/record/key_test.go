package record

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids { // servers that start at once
		wg.Go(func() {
			k, err := LoadKey(dir)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.Public().ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || len(id) != hashLen {
			t.Fatalf("several keys: %v", ids)
		}
	}
	public, err := ReadPublicKey(StateKey(dir))
	if err != nil || public.ID() != ids[0] {
		t.Errorf("%v %v", public, err)
	}
	if info, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left-overs: %v %v", left, err)
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(path string) error
		want  string
	}{
		"readable by others": {func(path string) error { return os.Chmod(path, 0o640) }, "others may read it"},
		"empty":              {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "no PRIVATE KEY in PEM"},
		"another kind": {func(path string) error {
			return os.WriteFile(path, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600)
		}, "asn1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := LoadKey(dir); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(filepath.Join(dir, keyFile)); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadKey(dir); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
	if _, err := ReadPublicKey(filepath.Join(t.TempDir(), "x")); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "records.pub") {
		t.Errorf("error %v", err)
	}
}

func TestWhoMayNotWriteToTheStateDirIsToldOfIt(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(filepath.Join(dir, "state")); err == nil || !strings.Contains(err.Error(), "set WEIR_STATE_DIR") {
		t.Errorf("got %v", err)
	}
}
