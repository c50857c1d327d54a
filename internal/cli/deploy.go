package cli

// weir deploy: a site built here, uploaded there, and what became of it.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/server"
	"github.com/weir-run/weir/internal/weir"
)

type deployFlags struct {
	serverFlags
	siteFlag
	draft        bool
	alias, title string
	node         string
	envFiles     []string
	timeout      time.Duration
}

func newDeploy(s *streams) *cobra.Command {
	var f deployFlags
	c := &cobra.Command{
		Use:   "deploy [DIR]",
		Short: "Build a site here and deploy it to a server",
		Long: `Builds the site in DIR (default: this folder), uploads what the server has not got yet, waits
until it is ready, and prints where it is served and what its functions may do that was not
approved before. If they gain something and your token may not approve it, the deploy is
held: it is not published until somebody approves, and the exit code is 7. A deploy that was
interrupted goes on where it was.

The site is the one that --site names or the folder is linked to; the first deploy with
--site links it.`,
		Example: `  weir deploy --site shop
  weir deploy site --draft
  weir deploy --alias next --title "new checkout"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.draft && f.alias != "" {
				return &usageError{errors.New("--draft and --alias exclude each other")}
			}
			cl, err := f.open(s)
			if err != nil {
				return err
			}
			return f.run(c.Context(), s, cl, dirArg(args))
		},
	}
	f.serverFlags.register(c)
	f.siteFlag.register(c)
	fl := c.Flags()
	fl.BoolVar(&f.draft, "draft", false, "only under a URL of its own; nothing is published")
	fl.StringVar(&f.alias, "alias", "", "under the URL that this `NAME` makes, which the next deploy with it takes over; nothing is published")
	fl.StringVar(&f.title, "title", "", "`TEXT` that lists of deploys show")
	fl.StringVar(&f.node, "node", "", "`PATH` of the Node.js binary on which functions are tried (default: as weir dev)")
	fl.StringArrayVar(&f.envFiles, "env-file", nil, "`FILE` of NAME=value lines that Intrinsic bootstraps read while the site is built; may be repeated")
	fl.DurationVar(&f.timeout, "timeout", 20*time.Minute, "`TIME` that the server may take when all is uploaded")
	return c
}

// run is a deploy from the folder to its end.
func (f *deployFlags) run(ctx context.Context, s *streams, c *client.Client, dir string) error {
	ref, err := f.find(dir)
	if err != nil {
		return err
	}
	site, err := c.Site(ctx, ref)
	if err != nil {
		return err
	}
	content, err := f.build(ctx, s, dir)
	if err != nil {
		return err
	}
	defer content.close()
	if f.site != "" {
		if err := link(dir, site.ID); err != nil {
			return err
		}
	}
	d, err := f.upload(ctx, s, c, dir, site, content)
	if err != nil {
		return err
	}
	if d, err = f.wait(ctx, c, d, ended); err != nil {
		return err
	}
	forget(dir)
	if d.State == string(weir.DeployFailed) && d.Weir.Review == "" { // what is under review is told as failed
		return &weir.Error{Code: weir.Invalid, Message: "the server can't serve the deploy " + d.ID + ": " + weir.Printable(weir.Cut(d.ErrorMessage, 2000))}
	}
	return f.report(ctx, s, c, d)
}

// build builds the site and gives what is to be deployed. A function that can't be built ends it: it would fail there.
func (f *deployFlags) build(ctx context.Context, s *streams, dir string) (*content, error) {
	state, err := stateDir()
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: shortTime}))
	built, err := server.Build(ctx, server.DevOptions{Dir: dir, StateDir: state, NodePath: f.node, EnvFiles: f.envFiles, Logger: logger, Progress: s.err})
	if err != nil {
		return nil, err
	}
	for _, w := range built.Warnings {
		fmt.Fprintf(s.err, "weir: %s\n", w)
	}
	var faults []error
	for _, fn := range built.Uploads.Functions {
		if fn.Err != nil {
			faults = append(faults, fn.Err)
		}
	}
	if len(faults) > 0 {
		built.Close()
		return nil, errors.Join(faults...)
	}
	return collect(ctx, built)
}

// upload begins a deploy, or goes on with one that was interrupted, and sends what the server lacks.
func (f *deployFlags) upload(ctx context.Context, s *streams, c *client.Client, dir string, site wire.Site, content *content) (wire.Deploy, error) {
	begun, err := f.begin(ctx, s, c, dir, site)
	if err != nil {
		return begun, err
	}
	d, err := c.Declare(ctx, site.ID, begun.ID, content.declaration)
	if err == nil {
		d, err = f.wait(ctx, c, d, prepared)
	}
	if err != nil {
		if weir.ErrorCode(err) == weir.Invalid || weir.ErrorCode(err) == weir.TooLarge {
			forget(dir)
			_, cancelErr := c.Cancel(ctx, begun.ID) // of what can't be served, nothing is left open
			err = errors.Join(err, cancelErr)
		}
		return d, err
	}
	missing := content.missing(d)
	var size int64
	for _, u := range missing {
		size += u.Size
	}
	fmt.Fprintf(s.err, "%d files and %d functions, %d to upload (%s)\n", len(content.declaration.Files), len(content.declaration.Functions), len(missing), sizeText(size))
	bar := newProgress(s, "uploading", size)
	err = c.Upload(ctx, d.ID, missing, bar.add)
	bar.end()
	if err != nil {
		return d, fmt.Errorf("the upload was not finished; the same command goes on with it: %w", err)
	}
	return d, nil
}

// begun is a deploy that is not at its end, as the folder knows it.
type begun struct {
	Site, Deploy, Alias, Title string
	Draft                      bool
}

// begunFile holds the deploy that was begun last, until it is at its end.
const begunFile = ".weir/deploy"

func (f *deployFlags) begin(ctx context.Context, s *streams, c *client.Client, dir string, site wire.Site) (wire.Deploy, error) {
	this := begun{Site: site.ID, Alias: f.alias, Title: f.title, Draft: f.draft}
	if id := interruptedBy(dir, this); id != "" {
		if d, err := c.Deploy(ctx, id); err == nil && d.SiteID == site.ID && open(d) {
			fmt.Fprintf(s.err, "going on with the deploy %s\n", d.ID)
			return d, nil
		}
	}
	d, err := c.BeginDeploy(ctx, site.ID, wire.NewDeploy{Draft: &f.draft, Branch: f.alias, Title: f.title, Source: "weir deploy"})
	if err != nil {
		return d, err
	}
	this.Deploy = d.ID
	b, err := json.Marshal(this)
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(begunFile)), 0o755), os.WriteFile(filepath.Join(dir, begunFile), b, 0o644))
	}
	if err != nil {
		fmt.Fprintf(s.err, "weir: the deploy could not go on if it were interrupted: %v\n", err)
	}
	return d, nil
}

// interruptedBy gives the id of the deploy of this folder that is like this one and not at its end, "" for none.
func interruptedBy(dir string, this begun) string {
	b, err := os.ReadFile(filepath.Join(dir, begunFile))
	var last begun
	if err != nil || json.Unmarshal(b, &last) != nil {
		return ""
	}
	this.Deploy = last.Deploy
	if this != last {
		return ""
	}
	return last.Deploy
}

func forget(dir string) { os.Remove(filepath.Join(dir, begunFile)) }

// open tells whether a deploy takes a declaration.
func open(d wire.Deploy) bool {
	switch weir.DeployState(d.State) {
	case weir.DeployNew, weir.DeployPreparing, weir.DeployPrepared, weir.DeployUploading:
		return true
	}
	return false
}

func prepared(d wire.Deploy) bool {
	return d.State != string(weir.DeployNew) && d.State != string(weir.DeployPreparing)
}

func ended(d wire.Deploy) bool {
	return d.State == string(weir.DeployReady) || d.State == string(weir.DeployFailed)
}

// wait waits until a deploy is as it should be. It looks often at first: where little has changed, the server is done
// within a few hundredths of a second.
func (f *deployFlags) wait(ctx context.Context, c *client.Client, d wire.Deploy, until func(wire.Deploy) bool) (wire.Deploy, error) {
	deadline := time.Now().Add(f.timeout)
	for pause := 20 * time.Millisecond; !until(d); pause = min(pause*5/4, time.Second/2) {
		if time.Now().After(deadline) {
			return d, &weir.Error{Code: weir.TimedOut, Message: "the deploy " + d.ID + " is not ready: its state is " + weir.Printable(d.State),
				Remedy: "look again with weir deploys show " + d.ID}
		}
		select {
		case <-ctx.Done():
			return d, context.Cause(ctx)
		case <-time.After(pause):
		}
		var err error
		if d, err = c.Deploy(ctx, d.ID); err != nil {
			return d, err
		}
	}
	return d, nil
}

// deployed is what --json prints.
type deployed struct {
	Site      string          `json:"site"`
	Deploy    string          `json:"deploy"`
	URL       string          `json:"url"`        // of the site
	DeployURL string          `json:"deploy_url"` // of this deploy
	Published bool            `json:"published"`
	Review    string          `json:"review,omitempty"`
	Warnings  []string        `json:"warnings,omitempty"`
	Diff      json.RawMessage `json:"diff"`
}

// report says what became of a deploy that is ready.
func (f *deployFlags) report(ctx context.Context, s *streams, c *client.Client, d wire.Deploy) error {
	for _, fn := range d.AvailableFunctions {
		if fn.Fault != "" {
			fmt.Fprintf(s.err, "weir: the function %s can't be served: %s\n", fn.Name, fn.Fault)
		}
	}
	for _, w := range d.Weir.Warnings {
		fmt.Fprintf(s.err, "weir: %s\n", w)
	}
	var err error
	if f.json {
		out := deployed{Site: d.Name, Deploy: d.ID, URL: d.URL, DeployURL: d.DeployURL, Published: d.Weir.Published, Review: d.Weir.Review, Warnings: d.Weir.Warnings}
		if out.Diff, err = c.Diff(ctx, d.ID, "application/json"); err == nil {
			err = printJSON(s, out)
		}
	} else {
		err = f.tell(ctx, messages{s.out}, c, d)
	}
	if err == nil && d.Weir.Review == "held" {
		fmt.Fprintf(s.err, "held: it waits until somebody whose token has the role approver or owner agrees:\n  weir deploys approve %s\nuntil then, %s runs it with no more than was approved before\n", d.ID, d.DeployURL)
		return &quietExit{exitHeld}
	}
	return err
}

func (f *deployFlags) tell(ctx context.Context, out io.Writer, c *client.Client, d wire.Deploy) error {
	diff, err := c.Diff(ctx, d.ID, "text/plain")
	if err != nil {
		return err
	}
	at := d.DeployURL
	if d.Weir.Published {
		at = d.URL
	}
	_, err = fmt.Fprintf(out, "%s %s\ndeploy %s, %s\n\n%s", published(d), at, d.ID, d.DeployURL, diff)
	return err
}
