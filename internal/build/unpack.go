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

// Archive is a function as a client has uploaded it: a zip archive, as Netlify's clients make them, or Upload.Archive.
type Archive struct {
	Name   string
	SHA256 string // of the archive, in hexadecimal
	// Config is what the client declares of the function: each thing that it says stands before what the source says.
	// Its Form means nothing.
	Config weir.FunctionConfig
	Packed bool // by Upload.Archive: the upload said that its runtime is PackedRuntime
	// Open gives the archive's content from its beginning. It is called once.
	Open func() (io.ReadCloser, error)
}

// UnpackOptions say which functions a deploy has, and where artifacts are kept. See Options for what is alike.
type UnpackOptions struct {
	StateDir  string
	Owner     string // whose functions they are, for an Examiner
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
	built, done, err := readArchives(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	defer done()
	a, err := write(ctx, Options{StateDir: o.StateDir}, built)
	if err != nil {
		return nil, fmt.Errorf("writing the artifact: %w", err)
	}
	return a, nil
}

// readArchives reads archives, but for those that are known, and finds their policies. What it gives are the functions
// by their names; done removes their files.
func readArchives(ctx context.Context, o UnpackOptions, known *Examiner) (built []output, done func(), err error) {
	archives := slices.SortedFunc(slices.Values(o.Functions), func(a, b Archive) int { return strings.Compare(a.Name, b.Name) })
	if err := checkNames(archives); err != nil {
		return nil, nil, err
	}
	env := sitepolicy.Visible(o.Env)
	r := reading{job: job{Env: env, Bytes: maxDeploy, Entries: maxDeployNames}, left: maxDeploy, built: make([]output, len(archives)), done: func() {}}
	defer func() {
		if err != nil {
			r.done()
		}
	}()
	for i, a := range archives {
		out, ok := known.find(o.Owner, a, env)
		if !ok {
			err = r.spool(ctx, o.StateDir, i, a)
		} else if err = a.isThere(); err == nil {
			err = r.add(i, out)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if err := r.run(ctx); err != nil {
		return nil, nil, err
	}
	for _, i := range r.new {
		known.note(o.Owner, archives[i], env, r.built[i])
	}
	return r.built, r.done, givePolicies(r.built, Options{Policy: o.Policy})
}

// reading is the archives of a deploy while they are read.
type reading struct {
	job   job
	left  int64    // bytes that all archives together may still have
	built []output // in the order of the archives
	new   []int    // of those that the job is about
	done  func()   // removes what was made
}

// add takes an archive that was read before.
func (r *reading) add(i int, out output) error {
	r.built[i] = out
	r.left -= out.took.Packed
	r.job.Bytes -= out.took.Bytes
	r.job.Entries -= out.took.Entries
	if r.left < 0 || r.job.Bytes < 0 || r.job.Entries < 0 {
		return errDeployTooLarge
	}
	return nil
}

// spool gets an archive ready to be read.
func (r *reading) spool(ctx context.Context, stateDir string, i int, a Archive) (err error) {
	if r.job.Scratch == "" {
		if r.job.Scratch, r.done, err = scratchFolder(stateDir); err != nil {
			r.done = func() {}
			return err
		}
	}
	file := filepath.Join(r.job.Scratch, a.Name+site.Archive)
	n, err := a.spool(ctx, file)
	if err != nil {
		return fmt.Errorf("reading the archive of %s: %w", a.Name, err)
	}
	if r.left -= n; r.left < 0 {
		return errDeployTooLarge
	}
	r.built[i].took.Packed = n
	r.new = append(r.new, i)
	r.job.Names = append(r.job.Names, a.Name)
	r.job.Archives = append(r.job.Archives, spooled{Name: a.Name, File: file, Config: a.Config, Packed: a.Packed})
	return nil
}

// run reads what is ready.
func (r *reading) run(ctx context.Context) error {
	if len(r.new) == 0 {
		return nil
	}
	built, err := buildAll(ctx, r.job, []string{r.job.Scratch}, func(i int, why string) error {
		return broken(r.job.Names[i]+site.Archive, "it can't be read: "+why, "look for a file in it that is nested too deeply")
	})
	if err != nil {
		return err
	}
	for k, i := range r.new {
		if weir.ErrorCode(built[k].err) == weir.TooLarge {
			return errDeployTooLarge
		}
		built[k].took.Packed = r.built[i].took.Packed
		built[k].folder = filepath.Join(r.job.Scratch, r.job.Names[k])
		r.built[i] = built[k]
	}
	return nil
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

func newBudget(bytes, names int64) *budget {
	b := &budget{}
	b.bytes.Store(bytes)
	b.names.Store(names)
	return b
}

// taken is what an archive takes of the bounds of its deploy.
type taken struct {
	Packed, Bytes int64
	Entries       int64 // files and folders
}

// take tells whether so much may be unpacked. Whoever comes last is told no, but then nothing of the deploy is kept.
func (b *budget) take(t taken) bool {
	return b == nil || b.bytes.Add(-t.Bytes) >= 0 && b.names.Add(-t.Entries) >= 0
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

// isThere tells whether an archive that isn't read could be: who serves the deploy will need it.
func (a *Archive) isThere() error {
	from, err := a.Open()
	if err != nil {
		return fmt.Errorf("reading the archive of %s: %w", a.Name, err)
	}
	return from.Close()
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
