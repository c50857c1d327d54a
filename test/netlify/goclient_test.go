package netlify

import (
	"archive/zip"
	"errors"
	"io"
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
	p.call("POST", "/sites", `{"name":"go"}`, nil)
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

	// What is held has failed to it; of the reason it tells nothing.
	p.token = p.tokenOf("developer")
	if err := os.WriteFile(filepath.Join(dir, "_weir.toml"), []byte("[functions.\"*\"]\nenv = [\"A\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	client = exec.Command(bin, p.api, "go", dir, archive(t, "f", "exports.handler = async () => ({ statusCode: 200 })"))
	client.Env = append(os.Environ(), "NETLIFY_AUTH_TOKEN="+p.token)
	if out, err := client.CombinedOutput(); err == nil || !strings.Contains(string(out), "error state") {
		t.Errorf("%v: %s", err, out)
	}
}

// archive makes a folder with the archive of a function.
func archive(t *testing.T, name, source string) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, name+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.Create(name + ".js")
	if err == nil {
		_, err = io.WriteString(w, source)
	}
	if err := errors.Join(err, z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}
