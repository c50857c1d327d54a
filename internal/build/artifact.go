package build

// The artifact on disk:
//
//	STATE/artifacts/ID/manifest.json          what there is; its SHA-256 is the ID
//	STATE/artifacts/ID/functions/NAME/…       one function: what it sees as /var/task
//
// An artifact is written beside its place and renamed to it, so that it is there whole or not at
// all. Nothing in it depends on the machine: no absolute path, no time, no owner.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

const manifestName = "manifest.json"

// The beginnings of the names of what is no artifact yet, or no longer.
const (
	newPrefix = ".new-"
	oldPrefix = ".old-"
)

// format is the version of manifest.json; it changes whenever the meaning does.
const format = 3

// content is manifest.json.
type content struct {
	Format    int
	Functions []contentFunction // in the site's order; broken ones are not there
}

type contentFunction struct {
	Name   string
	Policy *policy.Policy `json:",omitempty"` // as it was built with: another policy is another artifact
	Entry  string
	Export string
	Form   string // "pack" or "bundle"
	Config weir.FunctionConfig
	Addons []string
	Files  []contentFile // sorted by name
}

type contentFile struct {
	Name   string
	SHA256 string `json:",omitempty"`
	Exec   bool   `json:",omitempty"`
	Link   string `json:",omitempty"` // where it leads, if it is a symbolic link
}

// write puts the artifact into place and checks it if it is there already.
func write(ctx context.Context, o Options, built []output) (*Artifact, error) {
	store, err := filepath.Abs(filepath.Join(o.StateDir, "artifacts"))
	if err != nil {
		return nil, err
	}
	tmp, held, err := scratch(store)
	if err != nil {
		return nil, noStore(store, err)
	}
	defer os.RemoveAll(tmp)
	defer held.Close()
	if err := os.Chmod(tmp, 0o755); err != nil { // the sandbox's user reads it
		return nil, err
	}
	c := content{Format: format}
	if c.Functions, err = writeFunctions(ctx, o, filepath.Join(tmp, "functions"), built); err != nil {
		return nil, err
	}
	manifest, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(tmp, manifestName), bytes.NewReader(manifest), false); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(manifest)
	a, err := settle(tmp, filepath.Join(store, hex.EncodeToString(sum[:])))
	if err != nil {
		return nil, err
	}
	return a.complete(built), nil
}

func noStore(store string, err error) error {
	return &weir.Error{Code: weir.Invalid, Message: "artifacts can't be kept in " + store, Err: err,
		Remedy: "set WEIR_STATE_DIR to a folder that this user may write to"}
}

// settle moves a finished artifact to its place. One that is there already, from before or from
// another build at the same time, is kept if it is whole and replaced if it is not.
func settle(tmp, dir string) (*Artifact, error) {
	for range 3 {
		// rename(2) answers EEXIST or ENOTEMPTY if there is an artifact, and ENOENT once ours is in
		// place; ErrExist covers the first two.
		if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		held, err := lease(dir)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		a, err := open(dir, held)
		if err == nil {
			return a, nil
		}
		err = discardHeld(held, dir) // and only what is held: by now dir may be another's, and whole
		held.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s is being changed by someone else", dir)
}

// complete adds what the artifact does not hold: the broken functions, and what is to be told.
func (a *Artifact) complete(built []output) *Artifact {
	bundles := map[string]weir.Bundle{}
	for _, f := range a.Functions {
		bundles[f.Bundle.Function] = f.Bundle
	}
	a.Functions = nil
	for _, b := range built {
		f := Function{Bundle: weir.Bundle{Function: b.name}, Policy: b.policy, Err: b.err, Why: b.pack.why}
		if b.err == nil {
			f.Bundle = bundles[b.name]
		}
		a.Functions = append(a.Functions, f)
	}
	a.Warnings = warnings(built, a.Functions)
	return a
}

// warnings gives what the author of a site is to be told of its functions.
func warnings(built []output, functions []Function) []string {
	return append(together(built), conflicts(functions)...)
}

// writeSource writes a file, unless it is there already or to is "", and gives what is known of it.
func writeSource(to string, src source) (contentFile, error) {
	if src.link != "" {
		if to == "" {
			return contentFile{Link: src.link}, nil
		}
		return contentFile{Link: src.link}, errors.Join(makeDirs(filepath.Dir(to)), os.Symlink(src.link, to))
	}
	from, exec, err := src.open()
	if err != nil {
		return contentFile{}, err
	}
	defer from.Close()
	h := sha256.New()
	if to == "" || to == src.path {
		_, err = io.Copy(h, from)
	} else {
		err = writeFile(to, io.TeeReader(from, h), exec)
	}
	return contentFile{SHA256: hex.EncodeToString(h.Sum(nil)), Exec: exec}, err
}

// writeFile writes a new file that everybody may read, whatever the umask says: sandboxes run as
// another user. Files are not synced one by one: what a power cut leaves torn, open finds.
func writeFile(to string, from io.Reader, exec bool) error {
	if err := makeDirs(filepath.Dir(to)); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if exec {
		mode = 0o755
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// makeDirs makes a folder and those above it that are missing, with mode 0755 whatever the umask.
func makeDirs(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(dir, 0o755)
}

var validID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Close gives the artifact back. It is removed unless somebody else has it.
func (a *Artifact) Close() { end(a.held, a.Dir) }

// open reads the artifact in dir and checks every file of it: one that is missing, changed or not
// the artifact's is an error. The lease on it is the artifact's from then on; after an error it is still the
// caller's. The result must be closed; it has no broken functions, which an artifact does not hold.
func open(dir string, held *os.File) (*Artifact, error) {
	id := filepath.Base(dir)
	manifest, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(manifest); !validID.MatchString(id) || hex.EncodeToString(sum[:]) != id {
		return nil, fmt.Errorf("%s is not the manifest of this artifact", filepath.Join(dir, manifestName))
	}
	c, err := parseManifest(manifest)
	if err != nil {
		return nil, err
	}
	a := &Artifact{ID: id, Dir: dir, held: held}
	known := map[string]contentFile{}
	for _, f := range c.Functions {
		root := filepath.Join(dir, "functions", f.Name)
		for _, file := range f.Files {
			known[filepath.Join(root, filepath.FromSlash(file.Name))] = file
		}
		a.Functions = append(a.Functions, f.function(root))
	}
	if err := check(filepath.Join(dir, "functions"), known); err != nil {
		return nil, err
	}
	if !isAt(held, dir) { // what was checked is another folder than the one that is held
		return nil, errGone
	}
	return a, nil
}

func parseManifest(manifest []byte) (c content, err error) {
	if err = json.Unmarshal(manifest, &c); err != nil {
		return c, err
	}
	if c.Format != format {
		return c, fmt.Errorf("the manifest has format %d, and this version reads %d", c.Format, format)
	}
	for _, f := range c.Functions {
		if f.Form != formPack && f.Form != formBundle {
			return c, fmt.Errorf("%q has the unknown form %q", f.Name, f.Form)
		}
		names := []string{f.Name, f.Entry}
		for _, file := range f.Files {
			names = append(names, file.Name)
		}
		for _, name := range names {
			if !filepath.IsLocal(name) {
				return c, fmt.Errorf("the name %q leads out of the artifact", name)
			}
		}
	}
	return c, nil
}

// Policies reads the policies of the artifact in dir, by function, and nothing else of it: a copy of
// its manifest.json in a folder is enough. A manifest that does not fit a folder named like an
// artifact is an error.
func Policies(dir string) (map[string]*policy.Policy, error) {
	manifest, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(manifest)
	if id := filepath.Base(dir); validID.MatchString(id) && hex.EncodeToString(sum[:]) != id {
		return nil, fmt.Errorf("%s is not the manifest of this artifact", filepath.Join(dir, manifestName))
	}
	c, err := parseManifest(manifest)
	if err != nil {
		return nil, err
	}
	policies := map[string]*policy.Policy{}
	for _, f := range c.Functions {
		policies[f.Name] = f.Policy
		if f.Policy == nil {
			policies[f.Name] = &policy.Policy{Function: f.Name}
		}
	}
	return policies, nil
}

// IsArtifact tells whether dir looks like an artifact: it has a manifest.
func IsArtifact(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, manifestName))
	return err == nil && info.Mode().IsRegular()
}

// check compares the files below dir with those that are known.
func check(dir string, known map[string]contentFile) error {
	seen := 0
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil && p == dir && errors.Is(err, fs.ErrNotExist) {
			return nil // an artifact without functions
		}
		if err != nil || e.IsDir() {
			return err
		}
		file, ok := known[p]
		if !ok {
			return fmt.Errorf("%s does not belong to the artifact", p)
		}
		seen++
		return checkFile(p, e, file)
	})
	if err == nil && seen != len(known) {
		err = fmt.Errorf("%s lacks %d files", dir, len(known)-seen)
	}
	return err
}

// checkFile compares the file or link at p with what it is to be.
func checkFile(p string, e fs.DirEntry, file contentFile) error {
	changed := fmt.Errorf("%s was changed", p)
	if e.Type()&fs.ModeSymlink != 0 {
		if target, err := os.Readlink(p); err != nil || target != file.Link {
			return changed
		}
		return nil
	}
	if !e.Type().IsRegular() || file.Link != "" {
		return changed
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	sum, err := hashFile(p)
	if err != nil {
		return err
	}
	if sum != file.SHA256 || (info.Mode()&0o111 != 0) != file.Exec {
		return changed
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
