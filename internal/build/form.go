package build

// In which form a function is written: as a pack if there is one and it loads, else as a bundle.

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// The forms of a function.
const (
	formPack   = "pack"
	formBundle = "bundle"
)

// writeFunctions writes every function that is not broken to a folder of its name in dir. One whose files
// can't be taken is broken from then on.
func writeFunctions(ctx context.Context, o Options, dir string, built []output) ([]contentFunction, error) {
	var policies []*policy.Policy
	for _, b := range built {
		policies = append(policies, b.policy)
	}
	written := make([]contentFunction, len(built))
	errs := make([]error, len(built))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU()) // not GOMAXPROCS: what is tried runs in processes of its own
	for i := range built {
		if built[i].err != nil {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			written[i], errs[i] = writeFunction(ctx, o, filepath.Join(dir, built[i].name), &built[i], policies)
		})
	}
	wg.Wait()
	var out []contentFunction
	for i := range built {
		var bad *weir.Error
		switch {
		case built[i].err != nil:
		case errors.As(errs[i], &bad):
			built[i].err = errs[i]
		case errs[i] != nil:
			return nil, errs[i]
		default:
			out = append(out, written[i])
		}
	}
	return out, nil
}

// writeFunction writes one function, as a pack if there is one that loads, else as a bundle.
func writeFunction(ctx context.Context, o Options, dir string, b *output, policies []*policy.Policy) (contentFunction, error) {
	if o.Smoke != nil && b.pack.files != nil {
		f := contentFunction{Name: b.name, Policy: b.policy, Entry: b.pack.entry, Export: b.export, Config: b.config, Form: formPack}
		if err := writeFiles(ctx, dir, b.pack.files, &f); err != nil {
			return f, err
		}
		err := o.Smoke(ctx, Trial{f.id(), f.function(dir), policies})
		if err == nil || ctx.Err() != nil {
			return f, ctx.Err()
		}
		b.pack.why = "it does not load: " + err.Error()
		if err := os.RemoveAll(dir); err != nil {
			return f, err
		}
	}
	f := contentFunction{Name: b.name, Policy: b.policy, Entry: b.entry, Export: b.export, Config: b.config, Form: cmp.Or(b.form, formBundle)}
	if b.folder != "" {
		if err := b.moveTo(dir); err != nil {
			return f, err
		}
	}
	return f, writeFiles(ctx, dir, b.files, &f)
}

// moveTo moves the function's folder to dir, so that its files are in their places: to make as many anew takes most of
// the time that an archive costs.
func (b *output) moveTo(dir string) error {
	if err := errors.Join(makeDirs(filepath.Dir(dir)), os.Rename(b.folder, dir)); err != nil {
		return err
	}
	for name, src := range b.files {
		if src.link == "" {
			b.files.add(name, filepath.Join(dir, filepath.FromSlash(name)))
		}
	}
	return nil
}

// function gives a function whose files are in dir.
func (f contentFunction) function(dir string) Function {
	return Function{Policy: f.Policy, Bundle: weir.Bundle{Function: f.Name, Dir: dir, Entry: f.Entry, Export: f.Export,
		Pack: f.Form == formPack, Config: f.Config, Addons: f.Addons}}
}

// id tells functions apart that differ in anything: content, name or policy.
func (f contentFunction) id() string {
	all, err := json.Marshal(f)
	if err != nil {
		panic(err) // it is text and numbers
	}
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:])
}

// writeFiles writes a function's files, but for those that are in their places, and notes them in f.
func writeFiles(ctx context.Context, dir string, files tree, f *contentFunction) error {
	f.Addons = addons(files)
	for _, name := range files.names() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the name %q leads out of the bundle", name)
		}
		file, err := writeSource(filepath.Join(dir, filepath.FromSlash(name)), files[name])
		if err != nil {
			return err
		}
		file.Name = name
		f.Files = append(f.Files, file)
	}
	return nil
}
