package server

// What this computer gives to functions, whichever site's they are.

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
)

// machineOptions say how functions run. Zero bounds mean the defaults of internal/instance.
type machineOptions struct {
	StateDir     string
	NodePath     string
	Egress       egress.Options
	Logger       *slog.Logger
	Progress     io.Writer
	Zygotes      bool
	Blanks       int
	MaxInstances int
	MaxQueue     int
	MaxMemory    int64
}

// machine has raised the walls once, to know that it can. It is safe for concurrent use.
type machine struct {
	o        machineOptions
	launcher *sandbox.Launcher
	egress   *egress.Egress
	fleet    *instance.Fleet

	finding sync.Mutex           // held while a Node is found
	nodes   map[int]runtime.Node // those found so far, by the major version asked for; guarded by finding
}

// newMachine finds out that the walls can be raised. It starts no function.
func newMachine(o machineOptions) (m *machine, err error) {
	m = &machine{o: o, nodes: map[int]runtime.Node{}}
	if m.launcher, err = sandbox.NewLauncher(sandbox.Options{StateDir: o.StateDir}); err != nil {
		return nil, err
	}
	o.Egress.Logger = o.Logger
	if m.egress, err = egress.New(o.Egress); err != nil {
		m.launcher.Close()
		return nil, err
	}
	m.fleet = instance.NewFleet(instance.FleetOptions{Launcher: m.launcher, Egress: m.egress, StateDir: o.StateDir, Logger: o.Logger,
		Zygotes: o.Zygotes, Blanks: o.Blanks, MaxInstances: o.MaxInstances, MaxMemory: o.MaxMemory})
	return m, nil
}

// close frees what the machine held. The pools must be closed before.
func (m *machine) close() {
	m.fleet.Close()
	m.egress.Close()
	m.launcher.Close()
}

// common is what all functions of one deployment share.
type common struct {
	env      map[string]string // the site's variables
	platform map[string]string // those that every function sees
	shared   []string          // what write rules of any of them grant
	own      []string          // the site's files that none may write
	recorder record.Recorder
	log      func(instance.Line)
	logger   *slog.Logger // of what becomes of instances
}

// pool prepares the instances of one function.
func (m *machine) pool(f build.Function, eng *policy.Engine, node runtime.Node, c common) *instance.Pool {
	name := f.Bundle.Function
	return instance.NewPool(instance.Config{
		Function: name,
		Bundle:   f.Bundle,
		Engine:   eng,
		Env:      c.env,
		Platform: c.platform,
		Node:     node,
		Shared:   c.shared,
		Own:      c.own,
		Fleet:    m.fleet,
		Egress:   m.egress.Function(name, eng, c.recorder),
		Recorder: c.recorder,
		Log:      c.log,
		Logger:   c.logger,
		Queue:    m.o.MaxQueue,
		CodeDir:  filepath.Join(m.o.StateDir, "code"),
	})
}

// node gives the Node of a major version, 0 for any.
func (m *machine) node(ctx context.Context, major int) (runtime.Node, error) {
	m.finding.Lock()
	defer m.finding.Unlock()
	if n, ok := m.nodes[major]; ok {
		return n, nil
	}
	n, err := runtime.FindNode(ctx, runtime.NodeOptions{Major: major, Path: m.o.NodePath, StateDir: m.o.StateDir, Progress: m.o.Progress})
	if err == nil {
		m.nodes[major] = n
	}
	return n, err
}

// sharedGrants gives what write rules of any of a site's functions grant.
func sharedGrants(engines map[string]*policy.Engine) []string {
	var shared []string
	for _, eng := range engines {
		shared = append(shared, eng.Grants(policy.Write)...)
	}
	return shared
}
