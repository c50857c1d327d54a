package runtime

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// fakeNode answers what inspect asks.
const fakeNode = "#!/bin/sh\necho \"v24.20.0 $0\"\n"

type entry struct {
	name, content string
	kind          byte
}

func tarball(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o644, Size: int64(len(e.content))}
		if e.kind == tar.TypeSymlink {
			h.Linkname, h.Size = e.content, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if e.kind == tar.TypeReg {
			if _, err := w.Write([]byte(e.content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// cut is a whole gzip stream of half an archive.
func cut(t *testing.T) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(tarball(t, entry{"package/bin/node", fakeNode, tar.TypeReg})))
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, 520) // a header has 512
	if _, err := z.Read(half); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(half)
	w.Close()
	return b.Bytes()
}

// world has no Node on the PATH, no configuration of npm but a registry that serves content, and one
// release: what digestOf has the digest of.
func world(t *testing.T, content, digestOf []byte) (o NodeOptions, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path)
		if content == nil {
			http.NotFound(w, r)
			return
		}
		w.Write(content)
	}))
	t.Cleanup(registry.Close)
	t.Setenv("PATH", "/nonexistent")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("NPM_CONFIG_REGISTRY", registry.URL+"/npm/")
	t.Setenv("npm_config_registry", "")
	sum := sha512.Sum512(digestOf)
	old := releases
	t.Cleanup(func() { releases = old })
	releases = map[platform]release{{goruntime.GOARCH, DefaultMajor}: {"node-fake", "24.20.0", base64.StdEncoding.EncodeToString(sum[:]), int64(len(fakeNode))}}
	return NodeOptions{StateDir: t.TempDir()}, asked
}

func TestManagedNodeIsInstalled(t *testing.T) {
	good := tarball(t, entry{"package/package.json", "{}", tar.TypeReg}, entry{"package/bin/node", fakeNode, tar.TypeReg})
	o, asked := world(t, good, good)
	var progress bytes.Buffer
	o.Progress = &progress
	want := filepath.Join(o.StateDir, "node", "24.20.0-"+goruntime.GOARCH, "node")
	for range 2 { // the second time it is there
		n, err := FindNode(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if n.Path != want || n.Version != "v24.20.0" || n.Major != 24 {
			t.Errorf("%+v", n)
		}
	}
	if len(*asked) != 1 || (*asked)[0] != "/npm/node-fake/-/node-fake-24.20.0.tgz" {
		t.Errorf("the registry was asked for %q", *asked)
	}
	if info, err := os.Stat(want); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if files := filesIn(t, o.StateDir); len(files) != 1 {
		t.Errorf("left behind: %q", files)
	}
	if got := progress.String(); got != "fetching Node.js 24.20.0 (node-fake), 0 MB\n" {
		t.Errorf("progress %q", got)
	}
}

func TestManagedNodeThatIsWrong(t *testing.T) {
	good := tarball(t, entry{"package/bin/node", fakeNode, tar.TypeReg})
	otherVersion := tarball(t, entry{"package/bin/node", strings.Replace(fakeNode, "24.20.0", "24.20.1", 1), tar.TypeReg})
	for name, c := range map[string]struct {
		content, digestOf []byte
		want              string
	}{
		"other content":    {tarball(t, entry{"package/bin/node", "#!/bin/sh\nevil\n", tar.TypeReg}), good, "its digest differs"},
		"truncated":        {good[:len(good)-10], good, "its digest differs"},
		"not there":        {nil, good, "404"},
		"no archive":       {[]byte("no gzip at all"), []byte("no gzip at all"), "gzip"},
		"half an archive":  {cut(t), cut(t), "unexpected EOF"},
		"no node":          {tarball(t, entry{"package/readme", "", tar.TypeReg}), nil, "holds no bin/node"},
		"node is a link":   {tarball(t, entry{"package/bin/node", "/bin/sh", tar.TypeSymlink}), nil, "holds no bin/node"},
		"node elsewhere":   {tarball(t, entry{"package/../../bin/node", fakeNode, tar.TypeReg}), nil, "holds no bin/node"},
		"binary too large": {largeBinary(t), nil, "bytes instead of"},
		"other version":    {otherVersion, nil, "says that its version is v24.20.1"},
	} {
		t.Run(name, func(t *testing.T) {
			digestOf := c.digestOf
			if digestOf == nil {
				digestOf = c.content
			}
			o, _ := world(t, c.content, digestOf)
			_, err := FindNode(t.Context(), o)
			if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--node") {
				t.Errorf("error %v", err)
			}
			if files := filesIn(t, o.StateDir); len(files) > 0 && name != "other version" {
				t.Errorf("left behind: %q", files)
			}
		})
	}
}

// largeBinary claims a binary of a gigabyte; it need not hold it.
func largeBinary(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := tar.NewWriter(z).WriteHeader(&tar.Header{Name: "package/bin/node", Typeflag: tar.TypeReg, Size: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestManagedNodeIsCheckedAtEachStart: what lies in its place is used only while it looks like what was
// written there.
func TestManagedNodeIsCheckedAtEachStart(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"cut off":    func(path string) error { return os.Truncate(path, 10) },
		"replaced":   func(path string) error { return os.WriteFile(path, []byte("#!/bin/sh\necho evil\n"), 0o755) },
		"writable":   func(path string) error { return os.Chmod(path, 0o777) },
		"a link":     func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/bin/sh", path)) },
		"half there": func(path string) error { return os.Rename(path, filepath.Join(filepath.Dir(path), partPrefix+"1")) },
	} {
		t.Run(name, func(t *testing.T) {
			good := tarball(t, entry{"package/bin/node", fakeNode, tar.TypeReg})
			o, asked := world(t, good, good)
			n, err := FindNode(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := spoil(n.Path); err != nil {
				t.Fatal(err)
			}
			if _, err := FindNode(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(n.Path); string(b) != fakeNode || len(*asked) != 2 {
				t.Errorf("%q %v, the registry was asked for %q", b, err, *asked)
			}
			if files := filesIn(t, o.StateDir); len(files) != 1 {
				t.Errorf("left behind: %q", files)
			}
		})
	}
}

// TestManagedNodeIsFetchedOnce though several need it at once.
func TestManagedNodeIsFetchedOnce(t *testing.T) {
	good := tarball(t, entry{"package/bin/node", fakeNode, tar.TypeReg})
	o, asked := world(t, good, good)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := FindNode(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(*asked) != 1 {
		t.Errorf("the registry was asked for %q", *asked)
	}
}

// TestNodeOfAMajor: the machine's own is taken if it is of the wanted version, else a managed one,
// which needs no registry once it is there; what is missing without a registry says what to do.
func TestNodeOfAMajor(t *testing.T) {
	good := tarball(t, entry{"package/bin/node", fakeNode, tar.TypeReg})
	o, asked := world(t, good, good)
	own := t.TempDir()
	if err := os.WriteFile(filepath.Join(own, "node"), []byte(strings.Replace(fakeNode, "v24", "v22", 1)), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", own)
	find := func(major int) (Node, error) {
		o.Major = major
		return FindNode(t.Context(), o)
	}
	for _, major := range []int{0, 22} {
		if n, err := find(major); err != nil || n.Major != 22 || len(*asked) > 0 {
			t.Errorf("%d: %+v %v, the registry was asked for %q", major, n, err, *asked)
		}
	}
	if version, path := ManagedVersion(24, o.StateDir); version != "v24.20.0" || path != "" {
		t.Errorf("before it was fetched: %s %s", version, path)
	}
	if n, err := find(24); err != nil || n.Major != 24 {
		t.Errorf("%+v %v", n, err)
	}
	t.Setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:1") // nobody listens there
	n, err := find(24)
	if err != nil || n.Major != 24 {
		t.Errorf("offline: %+v %v", n, err)
	}
	if _, path := ManagedVersion(24, o.StateDir); path != n.Path {
		t.Errorf("%s is listed, %s is used", path, n.Path)
	}
	releases[platform{goruntime.GOARCH, 20}] = release{name: "node-fake", version: "20.1.0"}
	_, err = find(20)
	if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "put Node.js 20 on the PATH, or let Weir reach the npm registry once") {
		t.Errorf("offline and missing: %v", err)
	}
}

// TestReleases: each managed version is there for each architecture, the same for all.
func TestReleases(t *testing.T) {
	for _, major := range Majors {
		x64, arm := releases[platform{"amd64", major}], releases[platform{"arm64", major}]
		if x64.version != arm.version || !strings.HasPrefix(x64.version, fmt.Sprint(major)+".") {
			t.Errorf("%d: %s and %s", major, x64.version, arm.version)
		}
	}
}

// TestRealRegistry fetches a real Node where WEIR_TEST_REGISTRY allows it: the pinned digests and sizes
// are those of npm.
func TestRealRegistry(t *testing.T) {
	if os.Getenv("WEIR_TEST_REGISTRY") == "" {
		t.Skip("it fetches 150 MB from the npm registry: set WEIR_TEST_REGISTRY=1")
	}
	t.Setenv("PATH", "/nonexistent")
	o := NodeOptions{StateDir: t.TempDir(), Progress: t.Output()}
	for _, o.Major = range Majors {
		if n, err := FindNode(t.Context(), o); err != nil || n.Major != o.Major {
			t.Errorf("%+v %v", n, err)
		}
	}
}

func TestPackageTooLarge(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 1<<20)
		for range maxTarball>>20 + 8 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer registry.Close()
	if _, err := download(t.Context(), registry.URL, release{name: "n", version: "1"}, nil); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("error %v", err)
	}
}

func TestRegistry(t *testing.T) {
	for name, c := range map[string]struct {
		env, lower, npmrc, want string
	}{
		"environment":        {"http://a/", "http://b", "registry=http://c", "http://a"},
		"lower case":         {"", "http://b/", "registry=http://c", "http://b"},
		"file":               {"", "", "# registry=http://x\n@scope:registry=http://y\n registry = http://c/ \n", "http://c"},
		"nothing configured": {"", "", "fund=false\n", "https://registry.npmjs.org"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("NPM_CONFIG_REGISTRY", c.env)
			t.Setenv("npm_config_registry", c.lower)
			if err := os.WriteFile(filepath.Join(home, ".npmrc"), []byte(c.npmrc), 0o644); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile("/etc/npmrc"); name == "nothing configured" && err == nil && strings.Contains(string(b), "registry") {
				t.Skip("this machine's /etc/npmrc names a registry")
			}
			if got := npmRegistry(); got != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestNodeThatDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"too old":     {"#!/bin/sh\necho v18.2.0 $0\n", "Node.js v18.2.0"},
		"no node":     {"#!/bin/sh\necho hello\n", `its version is "hello"`},
		"fails":       {"#!/bin/sh\nexit 1\n", "does not run"},
		"not there":   {"", "no Node.js at"},
		"says little": {"#!/bin/sh\n", `its version is ""`},
	} {
		path := filepath.Join(t.TempDir(), "node")
		if c.script != "" {
			if err := os.WriteFile(path, []byte(c.script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		_, err := FindNode(t.Context(), NodeOptions{Path: path})
		if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--node") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func filesIn(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
