// Package snapshot has the policies of all functions at one time, wherever they lie: in a site, in a
// weir.toml by itself, in an artifact, in an earlier revision of a site. It must not know what is done
// with them.
package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/weir"
)

// maxFile bounds a weir.toml, in bytes.
const maxFile = 4 << 20

// Snapshot is what one place says.
type Snapshot struct {
	// Dir is the folder that files named in positions are relative to, as it was given.
	Dir string

	policies map[string]*policy.Policy // by function; nil if only file is known
	file     *sitepolicy.File          // of a weir.toml by itself
}

// Open reads the policies of a site's folder, an artifact's folder or a weir.toml. Bootstrap files see
// those variables of env that they may. Errors are *weir.Error, several joined.
func Open(path string, env map[string]string) (*Snapshot, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, &weir.Error{Code: weir.NotFound, Message: path + " can't be read", Err: unpath(err), Remedy: "name a weir.toml, or the folder of a site or an artifact"}
	case info.Mode().IsRegular():
		return openFile(path, info.Size())
	case !info.IsDir():
		return nil, &weir.Error{Code: weir.Invalid, Message: path + " is neither a file nor a folder", Remedy: "name a weir.toml, or the folder of a site or an artifact"}
	case build.IsArtifact(path):
		return openArtifact(path)
	}
	return openSite(path, env)
}

func openFile(path string, size int64) (*Snapshot, error) {
	if size > maxFile {
		return nil, &weir.Error{Code: weir.Invalid, Message: path + " is too large for a weir.toml"}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: path + " can't be read", Err: unpath(err)}
	}
	file, err := sitepolicy.ParseFile(path, data)
	if err != nil {
		return nil, err
	}
	return &Snapshot{Dir: ".", file: file}, nil
}

func openArtifact(path string) (*Snapshot, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	policies, err := build.Policies(abs)
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: path + " is not an artifact that can be read", Err: unpath(err), Remedy: "build it anew"}
	}
	return &Snapshot{Dir: ".", policies: policies}, nil
}

func openSite(path string, env map[string]string) (*Snapshot, error) {
	site, err := sitepolicy.Load(path, env)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Dir: path, policies: map[string]*policy.Policy{}}
	var faults []error
	for _, f := range site.Functions {
		s.policies[f.Name] = f.Policy
		if f.Err != nil {
			faults = append(faults, f.Err)
		}
	}
	return s, errors.Join(faults...)
}

// unpath takes the path off an error of the system's; the message names it already.
func unpath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Pair gives the policies of two snapshots by function. A weir.toml by itself is taken for the functions
// of the other; two of them are compared for any function whatever, by the names of their sections.
// Unmatched are sections about no function of the other.
func Pair(before, after *Snapshot) (a, b map[string]*policy.Policy, unmatched []*weir.Error, err error) {
	switch {
	case before.file == nil && after.file == nil:
		return before.policies, after.policies, nil, nil
	case before.file == nil:
		b, unmatched, err = applied(after.file, before.policies, false)
		return before.policies, b, unmatched, err
	case after.file == nil:
		a, unmatched, err = applied(before.file, after.policies, true)
		return a, after.policies, unmatched, err
	}
	samples, err := sitepolicy.Samples(before.file, after.file)
	if err != nil {
		return nil, nil, nil, err
	}
	a, b = map[string]*policy.Policy{}, map[string]*policy.Policy{}
	for name, label := range samples {
		for _, side := range []struct {
			file *sitepolicy.File
			to   map[string]*policy.Policy
		}{{before.file, a}, {after.file, b}} {
			if side.to[label], err = side.file.Of(name, nil); err != nil {
				return nil, nil, nil, fmt.Errorf("%s: %w", label, err)
			}
		}
	}
	return a, b, nil, nil
}

// applied gives the functions what a weir.toml says of them, or keeps their bootstrap's policy. Whether
// that or the other weir.toml set monitor mode is not known, so before the change it did not.
func applied(file *sitepolicy.File, functions map[string]*policy.Policy, before bool) (map[string]*policy.Policy, []*weir.Error, error) {
	out := map[string]*policy.Policy{}
	var names []string
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		names = append(names, name)
		var own *policy.Policy
		if p := functions[name]; p.Intrinsic {
			clone := *p
			if own = &clone; before {
				own.Mode = policy.Enforce
			}
		}
		p, err := file.Of(name, own)
		if err != nil {
			faults = append(faults, err)
		}
		out[name] = p
	}
	return out, file.Unmatched(names), errors.Join(faults...)
}
