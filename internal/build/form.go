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

// eachFunction does something with every function that is not broken, several at a time. An error of the function's own
// makes it broken.
func eachFunction(built []output, do func(i int) error) error {
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
			errs[i] = do(i)
		})
	}
	wg.Wait()
	for i, err := range errs {
		var bad *weir.Error
		switch {
		case errors.As(err, &bad):
			built[i].err = err
		case err != nil:
			return err
		}
	}
	return nil
}

// policiesOf gives the policies of all functions.
func policiesOf(built []output) (policies []*policy.Policy) {
	for _, b := range built {
		policies = append(policies, b.policy)
	}
	return policies
}

// writeFunctions writes every function that is not broken to a folder of its name in dir. One whose files
// can't be taken is broken from then on.
func writeFunctions(ctx context.Context, o Options, dir string, built []output) ([]contentFunction, error) {
	policies := policiesOf(built)
	written := make([]contentFunction, len(built))
	err := eachFunction(built, func(i int) (err error) {
		written[i], err = writeFunction(ctx, o, filepath.Join(dir, built[i].name), &built[i], policies)
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []contentFunction
	for i := range built {
		if built[i].err == nil {
			out = append(out, written[i])
		}
	}
	return out, nil
}

// writeFunction writes one function, as a pack if there is one that loads, else as a bundle.
func writeFunction(ctx context.Context, o Options, dir string, b *output, policies []*policy.Policy) (contentFunction, error) {
	if o.Smoke != nil && b.pack.files != nil {
		f := b.asPack()
		if err := writeFiles(ctx, dir, b.pack.files, &f); err != nil {
			return f, err
		}
		loads, err := b.loads(ctx, o, Trial{f.id(), f.function(dir), policies, func() error { return nil }})
		if loads || err != nil {
			return f, err
		}
	}
	f := b.asBundle()
	if b.folder != "" {
		if err := b.moveTo(dir); err != nil {
			return f, err
		}
	}
	return f, writeFiles(ctx, dir, b.files, &f)
}

// asPack and asBundle give the function in one of its forms, still without files.
func (b *output) asPack() contentFunction {
	return contentFunction{Name: b.name, Policy: b.policy, Entry: b.pack.entry, Export: b.export, Config: b.config, Form: formPack}
}

func (b *output) asBundle() contentFunction {
	return contentFunction{Name: b.name, Policy: b.policy, Entry: b.entry, Export: b.export, Config: b.config, Form: cmp.Or(b.form, formBundle)}
}

// loads tells whether the function loads as a pack, and notes why if not. Then nothing is left in its folder.
func (b *output) loads(ctx context.Context, o Options, t Trial) (bool, error) {
	err := o.Smoke(ctx, t)
	if err == nil || ctx.Err() != nil {
		return err == nil, ctx.Err()
	}
	b.pack.why = "it does not load: " + err.Error()
	return false, os.RemoveAll(t.Function.Bundle.Dir)
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

// writeFiles writes a function's files, but for those that are in their places, and notes them in f. Without a dir, it
// only notes them.
func writeFiles(ctx context.Context, dir string, files tree, f *contentFunction) error {
	f.Addons = addons(files)
	for _, name := range files.names() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the name %q leads out of the bundle", name)
		}
		to := ""
		if dir != "" {
			to = filepath.Join(dir, filepath.FromSlash(name))
		}
		file, err := writeSource(to, files[name])
		if err != nil {
			return err
		}
		file.Name = name
		f.Files = append(f.Files, file)
	}
	return nil
}
