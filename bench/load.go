package main

// How long a function's code takes to load, from the shim's call to the handler: as a pack, with and without
// compiled code, and bundled, against the tree that npm installed. The start of Node is not in it.

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/site"
)

func (b *bench) load() []figure {
	dir := filepath.Join(b.dir, "load")
	check(os.CopyFS(dir, os.DirFS("test/packs/testdata/site")))
	npm := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--loglevel=error")
	npm.Dir = dir
	check(npm.Run())
	keep := func(name string) bool { return name == "stripe.js" || name == "heavy.js" }
	functions, err := os.ReadDir(filepath.Join(dir, "functions"))
	check(err)
	for _, f := range functions {
		if !keep(f.Name()) {
			check(os.Remove(filepath.Join(dir, "functions", f.Name())))
		}
	}
	shim := filepath.Join(b.dir, "shim")
	for path, content := range runtime.Content() {
		file := filepath.Join(shim, filepath.Base(path))
		check(errors.Join(os.MkdirAll(shim, 0o755), os.WriteFile(file, content, 0o644)))
	}
	packs := b.builtFor(dir, "packs", func(context.Context, build.Trial) error { return nil })
	defer packs.Close()
	bundles := b.builtFor(dir, "bundles", nil)
	defer bundles.Close()
	var out []figure
	for i, f := range packs.Functions {
		out = append(out, b.loads(shim, dir, f, bundles.Functions[i])...)
	}
	return out
}

func (b *bench) builtFor(dir, name string, smoke func(context.Context, build.Trial) error) *build.Artifact {
	s, err := site.Load(dir)
	check(err)
	a, err := build.Build(context.Background(), s, build.Options{StateDir: filepath.Join(b.dir, name), Smoke: smoke})
	check(err)
	return a
}

// loads measures one function in its four forms, one after the other in each round.
func (b *bench) loads(shim, tree string, pack, bundle build.Function) []figure {
	run := func(code, root, entry string, isPack bool) float64 {
		out, err := exec.Command("node", "bench/testdata/load.cjs", shim, code, root, entry, strconv.FormatBool(isPack)).Output()
		check(err)
		ms, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		check(err)
		return ms
	}
	name := pack.Bundle.Function
	if pack.Err != nil || !pack.Bundle.Pack {
		check(errors.Join(errors.New(name+" is no pack"), pack.Err))
	}
	run("make", pack.Bundle.Dir, pack.Bundle.Entry, true)
	var trees, bundled, packed, compiled []float64
	for range b.n {
		trees = append(trees, run("none", tree, pack.Bundle.Entry, false))
		bundled = append(bundled, run("none", bundle.Bundle.Dir, bundle.Bundle.Entry, false))
		packed = append(packed, run("none", pack.Bundle.Dir, pack.Bundle.Entry, true))
		compiled = append(compiled, run("use", pack.Bundle.Dir, pack.Bundle.Entry, true))
	}
	peer := median(trees)
	return []figure{
		{name: "load " + name + ", bundle (peer: tree)", ours: median(bundled), peer: peer, unit: "ms"},
		{name: "load " + name + ", pack", ours: median(packed), peer: peer, unit: "ms"},
		{name: "load " + name + ", pack and compiled code", ours: median(compiled), peer: peer, unit: "ms", bound: 1},
	}
}
