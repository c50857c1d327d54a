package attacks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStripeStartsUname: a package that starts a program for its telemetry is refused, the refusal is
// on record, and the charge goes through.
func TestStripeStartsUname(t *testing.T) {
	installed := filepath.Join(os.TempDir(), "weir-test-stripe")
	if _, err := os.Stat(filepath.Join(installed, "node_modules/stripe/package.json")); err != nil {
		if err := os.CopyFS(installed, os.DirFS("testdata/stripe")); err != nil {
			t.Fatal(err)
		}
		npm := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
		npm.Dir = installed
		if out, err := npm.CombinedOutput(); err != nil {
			os.RemoveAll(installed)
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	asEveryone(t, func(t *testing.T, uid int) {
		site, _ := siteCopy(t, uid)
		if err := os.CopyFS(filepath.Join(site, "functions/charge"), os.DirFS(installed)); err != nil {
			t.Fatal(err)
		}
		world := newWorld(t)
		w := start(t, uid, site, world.flags...)
		if r := w.invoke(t, "charge", nil); r.Body["id"] != "ch_1" {
			t.Errorf("the charge: %s", r.Payload)
		}
		world.verify(t)
		w.stop(t)
		records, err := os.ReadFile(w.records)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(records), `"kind":"exec","target":"/bin/sh"`) {
			t.Errorf("no record of the refused uname:\n%s", records)
		}
	})
}
