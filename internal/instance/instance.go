package instance

// One instance: a sandbox with Node and the function's code in it, from its start to its end.

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

// loadTime bounds the start of Node and the import of the function's code (AWS Lambda's init
// phase has the same bound).
const loadTime = 10 * time.Second

// exitGrace is how long a process whose channel broke may take to be reaped before its cause of
// death is given as unknown.
const exitGrace = 2 * time.Second

type instance struct {
	id      string
	cfg     *Config
	limits  weir.Limits
	proc    *sandbox.Process
	egress  *egress.Sandbox
	conn    *runtime.Conn
	logs    *logs
	denials *denials
	grants  map[string][]string // canonical patterns of what it may "read", "write" and "exec"
	traces  traces

	dead   atomic.Bool // the process ended or the channel is spoilt
	exit   atomic.Pointer[sandbox.Exit]
	exited chan struct{}
	once   sync.Once
	onEnd  func()

	// Owned by whoever took the instance from the pool, or by the pool's lock while it is idle.
	idleSince time.Time
	idleSeen  time.Time     // idleSince at the last look
	cpuSeen   time.Duration // at the last look
	excess    time.Duration // CPU used since then beyond the share of an idle one
}

// newInstance starts a sandbox and loads the function's code in it. onEnd is called once, when
// the instance has ended; not if newInstance fails.
func newInstance(ctx context.Context, cfg *Config, limits weir.Limits, onEnd func()) (*instance, error) {
	in := &instance{id: newID(), cfg: cfg, limits: limits, exited: make(chan struct{}), onEnd: onEnd}
	in.denials = newDenials(in)
	if err := in.launch(ctx); err != nil {
		return nil, err
	}
	if err := in.load(); err != nil {
		in.onEnd = nil
		in.end()
		return nil, err
	}
	return in, nil
}

// launch raises the sandbox and connects its three ways out: egress, channel and output.
func (in *instance) launch(ctx context.Context) (err error) {
	in.egress, err = in.cfg.Egress.Sandbox(in.id)
	if err != nil {
		return fmt.Errorf("making the sandbox's CA: %w", err)
	}
	ours, theirs, err := socketpair()
	if err != nil {
		in.egress.Close()
		return err
	}
	defer theirs.Close()
	in.logs, err = newLogs(in.cfg.Log, Line{Function: in.cfg.Function, Instance: in.id}, in.limits.Log)
	if err != nil {
		in.egress.Close()
		ours.Close()
		return err
	}
	in.proc, err = in.cfg.Launcher.Start(ctx, in.spec(theirs))
	in.logs.started()
	if err != nil {
		in.egress.Close()
		ours.Close()
		return err
	}
	in.conn, err = runtime.Dial(ours, runtime.ConnOptions{OnReport: in.denials.reported})
	if err == nil {
		in.egress.OnRefusal(in.refused)
	}
	in.egress.Serve(in.proc.TCP(), in.proc.DNS(), datagrams(in.proc))
	go in.reap()
	go in.denials.follow(in.proc)
	go in.followDatagrams()
	if err != nil {
		in.onEnd = nil
		in.end()
	}
	return err
}

// spec says what the sandbox holds: Node, the shim, the bundle and what the policy grants.
func (in *instance) spec(channel *os.File) *sandbox.Spec {
	cfg, eng := in.cfg, in.cfg.Engine
	content := maps.Clone(runtime.Content())
	content[runtime.CertPath] = in.egress.CertFile()
	s := &sandbox.Spec{
		Name:     cfg.Function,
		Argv:     runtime.Argv(cfg.Node, in.limits),
		Env:      runtime.Environ(),
		Files:    []*os.File{channel},
		Stdout:   in.logs.stdout,
		Stderr:   in.logs.stderr,
		Programs: []string{cfg.Node.Path},
		Exec:     eng.Grants(policy.Exec),
		Bundle:   cfg.Bundle.Dir,
		Content:  content,
		Read:     hostPaths(eng.Grants(policy.Read)),
		Write:    cfg.writable(),
		Shared:   cfg.Shared,
		Own:      cfg.Own,
		Ports:    eng.Ports(),
		Loopback: eng.Loopback(),
		UDPPorts: eng.UDPPorts(),
		UDPAll:   cfg.monitored(),
		Reserve:  runtime.Reserve(cfg.Node, in.limits),
		Limits:   in.limits,
	}
	if eng.Policy().Addons || cfg.monitored() {
		for _, a := range cfg.Bundle.Addons {
			s.Addons = append(s.Addons, filepath.Join(cfg.Bundle.Dir, filepath.FromSlash(a)))
		}
	}
	if eng.Policy().Intrinsic {
		cfg.host.complete(s)
	}
	in.grants = map[string][]string{"read": s.Read, "write": s.Write, "exec": s.Exec}
	return s
}

// followDatagrams hands on what the kernel says of refused datagrams, until the sandbox ends.
func (in *instance) followDatagrams() {
	for to := range in.proc.RefusedDatagrams() {
		in.egress.RefusedDatagram(to)
	}
}

// datagrams gives the sockets for datagrams as the egress sees them.
func datagrams(p *sandbox.Process) []egress.Datagrams {
	var list []egress.Datagrams
	for _, d := range p.UDP() {
		list = append(list, d)
	}
	return list
}

// hostPaths leaves out the grants of what every sandbox can read anyway.
func hostPaths(grants []string) []string {
	var out []string
	for _, g := range grants {
		if !strings.HasPrefix(g, "/var/task/") && !strings.HasPrefix(g, "/tmp/") && g != "/var/task" && g != "/tmp" {
			out = append(out, g)
		}
	}
	return out
}

// load has the function's code imported.
func (in *instance) load() error {
	in.traces.begin(in.proc)
	err := in.conn.Load(runtime.LoadRequest{Bundle: in.cfg.Bundle, Env: in.env(), Watched: in.watched(), Limits: in.limits,
		Node: in.cfg.Node, Words: in.words()}, time.Now().Add(loadTime))
	in.look()
	if err == nil {
		return nil
	}
	var thrown *runtime.LoadError
	switch {
	case errors.As(err, &thrown):
		in.cfg.Logger.Error("the function can't be loaded", "function", in.cfg.Function, "instance", in.id,
			"trace", strings.Join(thrown.Trace, "\n"))
		e := &weir.Error{Code: weir.Broken, Message: in.cfg.Function + " can't be loaded", Err: err}
		if len(in.cfg.Bundle.Addons) > 0 && !in.cfg.Engine.Policy().Addons && !in.cfg.monitored() {
			e.Remedy = "it holds native libraries (" + in.cfg.Bundle.Addons[0] + "): allow them with addons = true"
			in.denials.addon(in.cfg.Bundle.Addons[0])
		}
		return e
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &weir.Error{Code: weir.Broken,
			Message: fmt.Sprintf("%s can't be loaded: importing it took longer than %s", in.cfg.Function, loadTime),
			Remedy:  "do the slow work in the handler"}
	default:
		return in.crash(err, "while it was loaded")
	}
}

// env is what process.env holds: the platform's variables and those of the site's that the
// policy names; in monitor mode all of the site's.
func (in *instance) env() map[string]string {
	env := maps.Clone(in.cfg.Platform)
	if env == nil {
		env = map[string]string{}
	}
	granted := in.cfg.Engine.Grants(policy.Env)
	if in.cfg.Engine.Policy().Intrinsic || in.cfg.monitored() { // that language has no rules for variables
		granted = slices.Collect(maps.Keys(in.cfg.Env))
	}
	for _, name := range granted {
		v, ok := in.cfg.Env[name]
		if ok && policy.Check(policy.Rule{Kind: policy.Env, Pattern: name}) == nil {
			env[name] = v
		}
	}
	return env
}

// invoke runs one invocation. The function finishes its work though the client hangs up, as in
// Lambda. After an error the instance must be ended.
func (in *instance) invoke(inv weir.Invocation) (weir.Result, error) {
	in.logs.begin(inv.ID)
	in.denials.begin(inv.ID)
	in.egress.SetInvocation(inv.ID)
	deadline := time.Now().Add(in.limits.Timeout)
	res, err := in.conn.Invoke(inv, deadline)
	in.look()
	if err == nil {
		if res.Error != nil {
			nameLimit(res.Error, in.limits)
			in.logs.charge(res.Error)
		}
		in.denials.flush()
		in.egress.SetInvocation("")
		return res, nil
	}
	defer in.denials.flush()
	switch {
	case weir.ErrorCode(err) == weir.TooLarge:
		return weir.Result{}, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return weir.Result{}, &weir.Error{Code: weir.TimedOut,
			Message: fmt.Sprintf("%s timed out after %.2f seconds", in.cfg.Function, in.limits.Timeout.Seconds()),
			Remedy:  "make it faster or raise limits.timeout"}
	default:
		return weir.Result{}, in.crash(err, "during the invocation")
	}
}

// crash says why the process is gone, as far as it can be known.
func (in *instance) crash(err error, when string) error {
	select {
	case <-in.exited:
	case <-time.After(exitGrace):
		return &weir.Error{Code: weir.Crashed, Message: fmt.Sprintf("%s broke its channel %s", in.cfg.Function, when), Err: err}
	}
	exit := in.exit.Load()
	e := &weir.Error{Code: weir.Crashed, Err: nil}
	switch {
	case exit.Cause == "memory":
		e.Message = fmt.Sprintf("%s ran out of memory %s (limit %d MB)", in.cfg.Function, when, in.limits.Memory>>20)
		e.Remedy = "use less memory or raise limits.memory"
	case exit.Signal != "" && in.logs.heapFull():
		e.Message = fmt.Sprintf("%s ran out of memory %s (V8's heap; limit %d MB)", in.cfg.Function, when, in.limits.Memory>>20)
		e.Remedy = "use less memory or raise limits.memory"
	case exit.Signal != "":
		e.Message = fmt.Sprintf("%s was ended by %s %s", in.cfg.Function, exit.Signal, when)
	default:
		e.Message = fmt.Sprintf("%s exited with status %d %s", in.cfg.Function, exit.Code, when)
	}
	return e
}

// reusable tells whether the instance may take another invocation.
func (in *instance) reusable() bool { return !in.dead.Load() && in.conn.Clean() }

// reap waits for the process, so that its end is known at once and leaves no zombie.
func (in *instance) reap() {
	exit := in.proc.Wait()
	in.exit.Store(&exit)
	in.dead.Store(true)
	close(in.exited)
}

// end kills the instance and frees what it held. It returns when nothing of it is left.
func (in *instance) end() {
	in.once.Do(func() {
		in.dead.Store(true)
		in.proc.Kill()
		<-in.exited
		if in.conn != nil {
			in.conn.Close()
		}
		in.egress.Close()
		in.logs.close()
		in.denials.flush()
		if in.onEnd != nil {
			in.onEnd()
		}
	})
}

// socketpair makes the channel: our end and the one that becomes fd 3 of the program.
func socketpair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "channel"), os.NewFile(uintptr(fds[1]), "channel"), nil
}

func newID() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
