package sandbox

// The Launcher finds out once what this machine can do, by raising every wall, and then starts
// sandboxes in that way.

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
	"github.com/weir-run/weir/internal/weir"
)

// Options say how a Launcher works.
type Options struct {
	// StateDir is where programs are copied to that a sandbox's user can't reach. It is made when
	// it is needed.
	StateDir string
	// AnyPorts listens on the ports that policies name instead of catching every port, as if the
	// kernel had no nftables.
	AnyPorts bool
	// NoCgroups bounds memory and processes by rlimits, as if no cgroup could be had.
	NoCgroups bool
}

// Launcher starts sandboxes. Its methods may be called from many goroutines at once.
type Launcher struct {
	opts    Options
	mode    mode
	cgroups *cgroups
	walls   []Wall

	mu       sync.Mutex
	staged   map[stamp]string
	programs map[string]known
	running  map[*Process]bool // nil once the Launcher is closed
}

// mode is what of the walls that have a fallback can be raised.
type mode struct{ captureAll, procfs, records, sysctls, udpRecords, zygote bool }

// forks tells whether a zygote can be had: its gate needs some of the other walls.
func (m mode) forks() bool { return m.zygote && m.captureAll && m.procfs && m.records }

// known is a program whose parts were found before.
type known struct {
	stamp   stamp
	program *program
}

// NewLauncher finds out what this machine can do. It raises a sandbox without a program, with a
// fallback for each wall that has one. An error is a *weir.Error with Code weir.NoWall that names
// the wall and the remedy; Diagnose gives the state of all walls from it.
func NewLauncher(o Options) (*Launcher, error) {
	l := &Launcher{opts: o, staged: map[stamp]string{}, programs: map[string]known{}, running: map[*Process]bool{}}
	l.mode = mode{captureAll: !o.AnyPorts, procfs: true, records: true, sysctls: true, udpRecords: true, zygote: true}
	l.cgroups = &cgroups{}
	if !o.NoCgroups {
		l.cgroups = findCgroups()
	}
	found := survey{cgroups: l.cgroups, failures: map[string]walls.Failure{}}
	if o.AnyPorts {
		found.add(walls.Failure{Wall: walls.Capture, What: "nftables", Text: "not used, as asked for"})
	}
	// Each round gives up at least one wall for its fallback, of which there are six.
	for {
		report, err := l.probe()
		if err != nil {
			found.add(asFailure(err))
			break
		}
		found.report = report
		again := false
		for _, f := range report.Failures {
			found.add(f)
			again = l.mode.giveUp(f.Wall) || again
		}
		if !again {
			break
		}
	}
	l.walls = found.walls()
	if err := found.refusal(l.walls); err != nil {
		return nil, err
	}
	return l, nil
}

// giveUp switches to the fallback for a wall. It tells whether there is one that wasn't in use.
func (m *mode) giveUp(wall string) bool {
	var b *bool
	switch wall {
	case walls.Capture:
		b = &m.captureAll
	case walls.Procfs:
		b = &m.procfs
	case walls.Records:
		b = &m.records
	case walls.Sysctls:
		b = &m.sysctls
	case walls.UDPRecords:
		b = &m.udpRecords
	case walls.Forking:
		b = &m.zygote
	default:
		return false
	}
	was := *b
	*b = false
	return was
}

// probe raises all walls and executes nothing. The report holds what failed.
func (l *Launcher) probe() (*walls.Report, error) {
	cfg := l.mode.config()
	cfg.Hostname, cfg.Dir, cfg.TmpSize, cfg.CPUs, cfg.Probe = "probe", "/", 1<<20, 1, true
	cfg.Rlimits = []walls.Rlimit{{Resource: unix.RLIMIT_CORE, Value: 0}}
	if l.mode.forks() {
		cfg.Slots = 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	f, err := spawn(newIdentity(), nil, os.Stderr, nil, -1)
	if err != nil {
		return nil, &walls.Failure{Wall: walls.Namespaces, What: "creating a process in new ones", Text: err.Error(), Errno: errnoOf(err)}
	}
	var got received
	report, err := f.raise(ctx, cfg, &got)
	got.close()
	f.kill()
	f.wait()
	return report, err
}

// Walls gives the state of each wall on this machine.
func (l *Launcher) Walls() []Wall { return l.walls }

// Diagnose gives the state of each wall from an error of NewLauncher, nil from any other.
func Diagnose(err error) []Wall {
	var r *refusal
	if errors.As(err, &r) {
		return r.walls
	}
	return nil
}

// Close ends every sandbox that still runs and waits until nothing is left of them.
func (l *Launcher) Close() error {
	l.mu.Lock()
	running := l.running
	l.running = nil
	l.mu.Unlock()
	for p := range running {
		p.Kill()
	}
	for p := range running {
		p.Wait()
	}
	return nil
}

// started keeps account of a sandbox until its end. It fails when the Launcher is closed.
func (l *Launcher) started(p *Process) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		return &weir.Error{Code: weir.Unavailable, Message: "no sandbox is started any more: Weir is ending"}
	}
	l.running[p] = true
	return nil
}

func (l *Launcher) ended(p *Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, p)
}

// program finds what a program consists of, once.
func (l *Launcher) program(path string) (*program, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.programs[path]; ok && k.stamp == stampOf(st) && k.program.exists() {
		return k.program, nil
	}
	p, err := readProgram(path)
	if err != nil {
		return nil, err
	}
	l.programs[path] = known{stampOf(st), p}
	return p, nil
}

// exists tells whether every part is still there: an update of the system replaces libraries by
// others of another name.
func (p *program) exists() bool {
	for _, f := range p.parts {
		if _, err := os.Lstat(f.source); err != nil {
			return false
		}
	}
	return true
}

// startTime bounds the start of a sandbox.
const startTime = 10 * time.Second

// Start starts a sandbox and returns when its program is being executed. ctx bounds the start
// only. An error is a *weir.Error: Invalid when the Spec asks for what can't be had, and names the
// path; NoWall when a wall can't be raised, and names it; TimedOut when ctx ends or 10 seconds pass
// first. Then nothing is left of the sandbox.
func (l *Launcher) Start(ctx context.Context, s *Spec) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	id := newIdentity()
	cfg, err := l.plan(s, id)
	if err != nil {
		return nil, err
	}
	group, err := l.cgroups.create(s.Limits.WithDefaults())
	if err != nil {
		return nil, &weir.Error{Code: weir.NoWall, Message: "the cgroup of sandbox " + s.Name + " can't be made", Err: err}
	}
	f, err := spawn(id, s.Stdout, s.Stderr, s.Files, group.fd())
	if err != nil {
		group.remove()
		return nil, explain(s.Name, &walls.Failure{Wall: walls.Namespaces, What: "creating a process in new ones", Text: err.Error(), Errno: errnoOf(err)})
	}
	p := &Process{first: f, group: group, forks: cfg.Fork, ended: make(chan struct{}), done: make(chan struct{})}
	err = group.add(f.pid)
	if err == nil {
		_, err = f.raise(ctx, cfg, &p.received)
	}
	if err == nil && cfg.Slots > 0 {
		p.zygote = newZygote(p, s, l.cgroups)
	}
	if err == nil {
		err = l.started(p)
	}
	if err != nil {
		p.received.close()
		f.kill()
		f.wait()
		group.remove()
		return nil, explain(s.Name, err)
	}
	if !l.cgroups.has(memoryController) {
		limit := s.Limits.WithDefaults().Memory
		p.watchers.Go(func() { p.watchMemory(limit) })
	}
	p.follow(l.ended)
	return p, nil
}
