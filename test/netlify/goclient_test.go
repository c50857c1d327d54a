package netlify

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheRealGoClient deploys by Netlify's own Go client. TestTheGoClient sends the same by hand.
func TestTheRealGoClient(t *testing.T) {
	if os.Getenv("WEIR_SOAK") == "" {
		t.Skip("building Netlify's Go client with all its modules takes half a minute: make soak does")
	}
	p := newPlatform(t)
	bin := filepath.Join(t.TempDir(), "goclient")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Dir = "testdata/goclient"
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("needs modules that can't be had: %v\n%s", err, out)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"d/one.txt": "a", "two.txt": "a"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.netlify("sites:create", "--name", "go", "--account-slug", "default", "--disable-linking")
	client := exec.Command(bin, p.api, "go", dir, "")
	client.Env = append(os.Environ(), "NETLIFY_AUTH_TOKEN="+p.token)
	client.Stderr = t.Output()
	out, err := client.Output()
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(string(out))
	p.want(url+"/d/one.txt", 200, "a")
	p.want(url+"/two.txt", 200, "a")
}
