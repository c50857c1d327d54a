package build

// From the archives that clients upload to an artifact: what Build is for a site, this is for a deploy. Archives are
// files while they are read, so that a large one costs no memory.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// Archive is a function as a client has uploaded it: a zip archive, as Netlify's clients make them, or as Pack does.
type Archive struct {
	Name   string
	SHA256 string // of the archive, in hexadecimal
	// Config is what the client declares of the function: each thing that it says stands before what the source says.
	// Its Form means nothing.
	Config weir.FunctionConfig
	Packed bool // by Pack: the upload said that its runtime is PackedRuntime
	// Open gives the archive's content from its beginning. It is called once.
	Open func() (io.ReadCloser, error)
}

// UnpackOptions say which functions a deploy has, and where artifacts are kept. See Options for what is alike.
type UnpackOptions struct {
	StateDir  string
	Functions []Archive
	Env       map[string]string
	Policy    func(function string, own *policy.Policy) (*policy.Policy, error)
}

// Unpack makes the artifact of archives. The same archives, policies and variables give the same artifact, ID
// included, on every machine; its functions are sorted by name. What is wrong with one archive is that function's Err,
// a *weir.Error; Unpack itself fails if two functions have one name or one has none that a function can have
// (weir.Invalid), if all together have more than 4 GB or 500,000 files (weir.TooLarge), if a policy can't be had (all such errors are joined), if an archive can't be read or is another
// than its SHA-256 says, if the artifact can't be written, or if ctx ends. The artifact must be closed.
func Unpack(ctx context.Context, o UnpackOptions) (*Artifact, error) {
	archives := slices.SortedFunc(slices.Values(o.Functions), func(a, b Archive) int { return strings.Compare(a.Name, b.Name) })
	if err := checkNames(archives); err != nil {
		return nil, err
	}
	scratch, done, err := scratchFolder(o.StateDir)
	if err != nil {
		return nil, err
	}
	defer done()
	j := job{Env: sitepolicy.Visible(o.Env), Scratch: scratch}
	left := int64(maxDeploy)
	for _, a := range archives {
		file := filepath.Join(scratch, a.Name+site.Archive)
		n, err := a.spool(ctx, file)
		if err != nil {
			return nil, fmt.Errorf("reading the archive of %s: %w", a.Name, err)
		}
		if left -= n; left < 0 {
			return nil, errDeployTooLarge
		}
		j.Names = append(j.Names, a.Name)
		j.Archives = append(j.Archives, spooled{Name: a.Name, File: file, Config: a.Config, Packed: a.Packed})
	}
	built, err := buildAll(ctx, j, []string{scratch}, func(i int, why string) error {
		return broken(archives[i].Name+site.Archive, "it can't be read: "+why, "look for a file in it that is nested too deeply")
	})
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(built, func(b output) bool { return weir.ErrorCode(b.err) == weir.TooLarge }) {
		return nil, errDeployTooLarge
	}
	if err := givePolicies(built, Options{Policy: o.Policy}); err != nil {
		return nil, err
	}
	a, err := write(ctx, Options{StateDir: o.StateDir}, built)
	if err != nil {
		return nil, fmt.Errorf("writing the artifact: %w", err)
	}
	return a, nil
}

// Bounds of all archives of a deploy.
const (
	maxDeploy      = 4 << 30 // bytes, packed or not
	maxDeployNames = 500_000 // files and folders
)

var errDeployTooLarge = &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("the functions of the deploy have more than %d GB, or %d files and folders", maxDeploy>>30, maxDeployNames),
	Remedy: "take fewer files along with included_files, or fewer packages"}

// budget is what may still be unpacked.
type budget struct{ bytes, names atomic.Int64 }

func newBudget() *budget {
	b := &budget{}
	b.bytes.Store(maxDeploy)
	b.names.Store(maxDeployNames)
	return b
}

// take tells whether so much may be unpacked. Whoever comes last is told no, but then nothing of the deploy is kept.
func (b *budget) take(bytes int64, names int) bool {
	return b == nil || b.bytes.Add(-bytes) >= 0 && b.names.Add(-int64(names)) >= 0
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)

// checkNames looks at the names of archives, which are sorted by them.
func checkNames(archives []Archive) error {
	for i, a := range archives {
		name := weir.Printable(weir.Cut(a.Name, 100))
		if !validName.MatchString(a.Name) {
			return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("%q is no name of a function", name),
				Remedy: "the name of a function has up to 200 letters, digits, - and _"}
		}
		if i > 0 && archives[i-1].Name == a.Name {
			return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("there are two functions %q", name), Remedy: "rename one of them"}
		}
	}
	return nil
}

// spool copies an archive to a file, and gives its size. Of one that is too large, a byte too many is copied.
func (a *Archive) spool(ctx context.Context, file string) (int64, error) {
	from, err := a.Open()
	if err != nil {
		return 0, err
	}
	defer from.Close()
	stop := context.AfterFunc(ctx, func() { from.Close() })
	defer stop()
	h := sha256.New()
	limited := &io.LimitedReader{R: from, N: maxBundle + 1}
	if err := writeFile(file, io.TeeReader(limited, h), false); err != nil {
		return 0, err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); limited.N > 0 && sum != a.SHA256 {
		return 0, fmt.Errorf("its SHA-256 is %s and not %s", sum, a.SHA256)
	}
	return maxBundle + 1 - limited.N, ctx.Err()
}

// spooled is an archive as the child is told of it.
type spooled struct {
	Name, File string
	Config     weir.FunctionConfig
	Packed     bool
}

// build makes the content of the function.
func (s spooled) build(scratch string, env map[string]string, left *budget) output {
	out := output{name: s.Name, files: tree{}}
	a := archive{file: s.File, shown: s.Name + site.Archive, dir: filepath.Join(scratch, s.Name), declared: s.Config, packed: s.Packed, uploaded: true, left: left, env: env, output: &out}
	out.err = a.unpack()
	return out
}

// scratchFolder makes a folder in which archives are unpacked; done removes it.
func scratchFolder(stateDir string) (dir string, done func(), err error) {
	store, err := filepath.Abs(filepath.Join(stateDir, "artifacts"))
	if err != nil {
		return "", nil, err
	}
	dir, held, err := scratch(store)
	if err != nil {
		return "", nil, noStore(store, err)
	}
	return dir, func() { os.RemoveAll(dir); held.Close() }, nil
}
