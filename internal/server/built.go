package server

// Building a site for a server elsewhere: as weir dev does, without serving it.

import (
	"context"
	"path/filepath"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/site"
)

// Built is a site that was built. It must be closed.
type Built struct {
	Site     *site.Site
	Uploads  *build.Uploads
	Warnings []string // for the author, one line each

	dev *Dev
}

// Build builds the site in o.Dir. Of o, it needs Dir, StateDir, NodePath, EnvFiles, Logger and Progress. Where this
// machine can't raise the walls, no function is tried, so that all are bundles, and a warning says so. Errors are
// those of site.Load, of the site's policies and of build.BuildUploads.
func Build(ctx context.Context, o DevOptions) (_ *Built, err error) {
	d := &Dev{opts: o}
	if d.opts.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	out := &Built{dev: d}
	defer func() {
		if err != nil {
			out.Close()
		}
	}()
	m, noWalls := newMachine(machineOptions{StateDir: o.StateDir, NodePath: o.NodePath, Egress: egress.Options{}, Logger: o.Logger, Progress: o.Progress})
	if noWalls == nil {
		d.machine = m
		if d.trials, err = newTrials(d); err != nil {
			return nil, err
		}
	}
	b, err := d.read()
	if err != nil {
		return nil, err
	}
	out.Site = b.site
	if out.Uploads, err = build.BuildUploads(ctx, b.site, b.options); err != nil {
		return nil, err
	}
	out.Warnings = b.warnings(out.Uploads.Warnings)
	if noWalls != nil {
		out.Warnings = append(out.Warnings, "functions are bundles, which start more slowly than packs: "+noWalls.Error())
	}
	return out, nil
}

// Close gives back what the site was built with.
func (b *Built) Close() {
	if b.Uploads != nil {
		b.Uploads.Close()
	}
	if b.dev.trials != nil {
		b.dev.trials.close()
	}
	if b.dev.machine != nil {
		b.dev.machine.close()
	}
}
