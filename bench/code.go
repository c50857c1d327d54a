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

	"github.com/weir-run/weir/bench/report"
	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/site"
)

// packedSite is a site with functions "stripe" and "heavy", and the lock file of their packages.
const packedSite = "test/packs/testdata/site"

func (b *bench) code(handler string) report.Table {
	const tree = "tree of npm"
	t := report.Table{Title: "loading a function's code, " + handler, Base: tree, Columns: []report.Column{{Name: "processor time", Unit: "ms"}}}
	if handler == "trivial" {
		t.Rows = []report.Row{{Name: tree, Note: "there is nothing to load"}}
		return t
	}
	dir := b.codeSite(handler)
	packs := b.built(dir, "packs-"+handler, func(context.Context, build.Trial) error { return nil })
	defer packs.Close()
	bundles := b.built(dir, "bundles-"+handler, nil)
	defer bundles.Close()
	pack, bundle := packs.Functions[0].Bundle, bundles.Functions[0].Bundle
	shim := b.shim()
	run := func(code, root, entry string, isPack bool) float64 {
		out, err := exec.Command(b.node, "bench/functions/load.cjs", shim, code, root, entry, strconv.FormatBool(isPack)).Output()
		check(err)
		ms, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		check(err)
		return ms
	}
	run("make", pack.Dir, pack.Entry, true)
	forms := []struct {
		name string
		load func() float64
	}{
		{tree, func() float64 { return run("none", dir, pack.Entry, false) }},
		{"bundle", func() float64 { return run("none", bundle.Dir, bundle.Entry, false) }},
		{"pack", func() float64 { return run("none", pack.Dir, pack.Entry, true) }},
		{"pack, compiled ahead", func() float64 { return run("use", pack.Dir, pack.Entry, true) }},
	}
	for _, f := range forms {
		t.Rows = append(t.Rows, report.Row{Name: f.name, Cells: [][]float64{nil}})
	}
	for range b.starts {
		for i, f := range forms {
			t.Rows[i].Cells[0] = append(t.Rows[i].Cells[0], f.load())
		}
	}
	return t
}

// codeSite installs the packages of one function.
func (b *bench) codeSite(handler string) string {
	dir := filepath.Join(b.dir, "code-"+handler)
	check(os.CopyFS(dir, os.DirFS(packedSite)))
	npm := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--loglevel=error")
	npm.Dir = dir
	check(npm.Run())
	functions, err := os.ReadDir(filepath.Join(dir, "functions"))
	check(err)
	for _, f := range functions {
		if f.Name() != handler+".js" {
			check(os.Remove(filepath.Join(dir, "functions", f.Name())))
		}
	}
	return dir
}

func (b *bench) shim() string {
	shim := filepath.Join(b.dir, "shim")
	for path, content := range runtime.Content() {
		file := filepath.Join(shim, filepath.Base(path))
		check(errors.Join(os.MkdirAll(shim, 0o755), os.WriteFile(file, content, 0o644)))
	}
	return shim
}

func (b *bench) built(dir, name string, smoke func(context.Context, build.Trial) error) *build.Artifact {
	s, err := site.Load(dir)
	check(err)
	a, err := build.Build(context.Background(), s, build.Options{StateDir: filepath.Join(b.dir, name), Smoke: smoke})
	check(err)
	return a
}
