package instance

// One instance: a sandbox with Node and the function's code in it, from its start to its end.

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
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
	*process
	id      string
	pool    *Pool
	cfg     *Config
	limits  weir.Limits
	start   record.Start
	code    *runtime.Code // compiled ahead; nil: nothing
	conn    *runtime.Conn
	denials *denials
	grants  map[string][]string // canonical patterns of what it may "read", "write" and "exec"
	traces  traces
	tag     string // of what it prints, "" if it has one invocation at a time
	once    sync.Once

	mu       sync.Mutex
	inFlight []string // ids of invocations

	// The fleet's lock guards what follows.
	active    int       // invocations in flight
	served    bool      // there has been one
	retired   bool      // there will be no more
	evicted   bool      // it is being ended to make room
	memory    int64     // bytes, as of the last look
	idleSince time.Time // when the last invocation was over
	idleSeen  time.Time // idleSince at the last look
	cpuSeen   time.Duration
	excess    time.Duration // CPU used since then beyond the share of an idle one
}

// newInstance gives the function a process and has its code loaded there, unless ctx ends first. The pool is
// told when the instance has ended; not if newInstance fails.
func newInstance(ctx context.Context, p *Pool) (*instance, error) {
	if z := p.borrow(); z != nil {
		in, _ := blankInstance(p)
		err := in.fork(ctx, z)
		if err == nil {
			in, err = in.begun(ctx)
		}
		if err == nil || ctx.Err() != nil {
			return in, err
		}
		z.failed(err)
	}
	in, spec := blankInstance(p)
	if err := in.occupy(ctx, spec); err != nil {
		return nil, err
	}
	return in.begun(ctx)
}

// blankInstance makes an instance without a process, and says what its sandbox holds.
func blankInstance(p *Pool) (*instance, *sandbox.Spec) {
	in := &instance{id: newID(), pool: p, cfg: &p.cfg, limits: p.limits, memory: startMemory, code: p.cfg.code.get()}
	in.denials = newDenials(in)
	if p.how.Concurrency > 1 {
		in.tag = rand.Text()
	}
	spec := in.cfg.spec()
	in.grants = map[string][]string{"read": spec.Read, "write": spec.Write, "exec": spec.Exec}
	return in, spec
}

// begun connects the process and has the code loaded there.
func (in *instance) begun(ctx context.Context) (*instance, error) {
	defer context.AfterFunc(ctx, in.proc.Kill)()
	err := in.connect()
	if err == nil {
		err = in.load()
	}
	if err != nil {
		in.pool = nil
		in.end()
		return nil, err
	}
	return in, nil
}

// occupy takes over a blank, or starts a process if there is none that fits.
func (in *instance) occupy(ctx context.Context, spec *sandbox.Spec) (err error) {
	f := in.cfg.Fleet
	if pr := in.pool.profile; pr != nil && f.tasks != nil {
		if in.process = f.take(pr); in.process != nil {
			err := in.task.fill(in.cfg.Bundle.Dir, in.code)
			if err == nil {
				in.start = record.FromPool
				return nil
			}
			in.process.end()
			f.unfit.Do(func() {
				in.cfg.Logger.Warn("a function's files can't be linked: it starts from nothing", "function", in.cfg.Function, "error", err)
			})
		}
	}
	in.start = record.FromNothing
	in.process, err = f.startProcess(ctx, &profile{*spec, in.cfg.Egress.OwnTLS()}, in.code)
	return err
}

// codeFile is where the process finds its compiled code.
func (in *instance) codeFile() string {
	if in.task != nil {
		return runtime.TaskRoot + "/" + taskCode
	}
	return runtime.CodePath
}

// connect makes the process this function's: its three ways out, which are egress, channel and output,
// begin to be served.
func (in *instance) connect() error {
	in.logs.adopt(in.cfg.Log, Line{Function: in.cfg.Function, Instance: in.id}, in.limits.Log, in.tag)
	if err := in.egress.Bind(in.cfg.Egress, in.id); err != nil {
		return err
	}
	var err error
	if in.conn, err = runtime.Dial(in.channel, runtime.ConnOptions{OnReport: in.denials.reported, Busy: in.cfg.Fleet.busy}); err != nil {
		return err
	}
	in.egress.OnRefusal(in.refused)
	in.egress.Serve(in.proc.TCP(), in.proc.DNS(), in.datagrams())
	go in.denials.follow(in.proc)
	go in.followDatagrams()
	return nil
}

// followDatagrams hands on what the kernel says of refused datagrams, until the sandbox ends.
func (in *instance) followDatagrams() {
	for to := range in.proc.RefusedDatagrams() {
		in.egress.RefusedDatagram(to)
	}
}

// spec says what the sandbox of an instance holds: Node, the shim, the bundle and what the policy grants.
func (cfg *Config) spec() *sandbox.Spec {
	eng := cfg.Engine
	limits := eng.Policy().Limits.WithDefaults()
	s := &sandbox.Spec{
		Name:     cfg.Function,
		Argv:     runtime.Argv(cfg.Node, limits),
		Env:      runtime.Environ(),
		Programs: []string{cfg.Node.Path},
		Exec:     eng.Grants(policy.Exec),
		Bundle:   cfg.Bundle.Dir,
		Read:     hostPaths(eng.Grants(policy.Read)),
		Write:    cfg.writable(),
		Shared:   cfg.Shared,
		Own:      cfg.Own,
		Ports:    eng.Ports(),
		Loopback: eng.Loopback(),
		UDPPorts: eng.UDPPorts(),
		UDPAll:   cfg.monitored(),
		Reserve:  runtime.Reserve(cfg.Node, limits),
		Limits:   limits,
	}
	if eng.Policy().Addons || cfg.monitored() {
		for _, a := range cfg.Bundle.Addons {
			s.Addons = append(s.Addons, filepath.Join(cfg.Bundle.Dir, filepath.FromSlash(a)))
		}
	}
	if eng.Policy().Intrinsic {
		cfg.host.complete(s)
	}
	return s
}

// hostPaths leaves out the grants of what every sandbox can read anyway.
func hostPaths(grants []string) []string {
	var out []string
	for _, g := range grants {
		if !strings.HasPrefix(g, "/var/task/") && g != "/var/task" && !inTmp(g) {
			out = append(out, g)
		}
	}
	return out
}

// inTmp tells whether a grant is about the private /tmp.
func inTmp(grant string) bool { return grant == tmpDir || strings.HasPrefix(grant, tmpDir+"/") }

// request is what the shim is told before there is any of the function's code.
func (in *instance) request() runtime.LoadRequest {
	return runtime.LoadRequest{Bundle: in.cfg.Bundle, Env: in.env(), Watched: in.watched(), Limits: in.limits,
		Node: in.cfg.Node, Tag: in.tag, Words: in.words(), Code: in.code, CodeFile: in.codeFile()}
}

// load has the function's code imported.
func (in *instance) load() error {
	in.traces.begin(in.proc)
	_, err := in.conn.Load(in.request(), time.Now().Add(in.cfg.loadTime))
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
			e.Remedy = "it holds native libraries (" + in.cfg.Bundle.Addons[0] + "): " + in.denials.addon(in.cfg.Bundle.Addons[0])
		}
		return e
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &weir.Error{Code: weir.Broken,
			Message: fmt.Sprintf("%s can't be loaded: importing it took longer than %s", in.cfg.Function, in.cfg.loadTime),
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
	granted, all := in.cfg.Engine.Variables()
	if all || in.cfg.monitored() {
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

// invoke runs one invocation. done is called once, when nothing of it goes on any more: its answer, if that is
// a stream, and what outlasts the answer (waitUntil) included. Then the instance may be given another one, or
// must be ended, as usable says.
//
// The function finishes its work though the client hangs up before there is an answer, as in Lambda.
func (in *instance) invoke(inv weir.Invocation, done func()) (weir.Result, error) {
	in.begin(inv.ID)
	deadline := time.Now().Add(in.limits.Timeout)
	res, over, err := in.conn.Invoke(inv, deadline, func() { in.over(inv.ID); done() })
	in.look()
	if err != nil {
		err = in.failed(err)
	}
	if res.Error != nil {
		nameLimit(res.Error, in.limits)
		in.logs.charge(inv.ID, res.Error)
	}
	if res.Stream != nil {
		res.Stream.Body = &streamBody{res.Stream.Body, in, inv.ID}
	}
	if over {
		in.over(inv.ID)
		done()
	}
	return res, err
}

// begin attributes what happens from now on to an invocation. If several are in flight nobody knows whose
// doing it is, and all of them are named.
func (in *instance) begin(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.inFlight = append(in.inFlight, id)
	all := slices.Clone(in.inFlight)
	in.logs.begin(id, all)
	in.denials.begin(all)
	in.egress.SetInvocations(all...)
}

// over takes an invocation off what is in flight.
func (in *instance) over(id string) {
	in.denials.flush()
	in.mu.Lock()
	defer in.mu.Unlock()
	i := slices.Index(in.inFlight, id)
	in.inFlight = slices.Delete(in.inFlight, i, i+1)
	rest := slices.Clone(in.inFlight)
	if len(rest) > 0 {
		in.logs.over(id, rest)
		in.denials.during(rest)
	}
	in.egress.SetInvocations(rest...)
}

// failed says what an error of the channel means.
func (in *instance) failed(err error) error {
	switch {
	case weir.ErrorCode(err) == weir.TooLarge:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &weir.Error{Code: weir.TimedOut,
			Message: fmt.Sprintf("%s timed out after %.2f seconds", in.cfg.Function, in.limits.Timeout.Seconds()),
			Remedy:  "make it faster or raise limits.timeout"}
	case errors.Is(err, runtime.ErrWentOn):
		return &weir.Error{Code: weir.Crashed, Message: in.cfg.Function + " went on with an invocation that nobody waited for any more",
			Remedy: "heed the signal of the Request, the cancel of a body and the close of a responseStream"}
	}
	return in.crash(err, "during the invocation")
}

// streamBody is the body of an answer in pieces, with the errors that the outside knows.
type streamBody struct {
	io.ReadCloser
	in *instance
	id string // of the invocation
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var thrown *weir.FunctionError
	switch {
	case err == nil || err == io.EOF || err == runtime.ErrClosed:
		return n, err
	case errors.As(err, &thrown):
		nameLimit(thrown, b.in.limits)
		b.in.logs.charge(b.id, thrown)
		return n, err
	}
	return n, b.in.failed(err)
}

// crash says why the process is gone, as far as it can be known.
func (in *instance) crash(err error, when string) error {
	broke := &weir.Error{Code: weir.Crashed, Message: fmt.Sprintf("%s broke its channel %s", in.cfg.Function, when), Err: err}
	if !errors.Is(err, runtime.ErrEnded) {
		return broke
	}
	select {
	case <-in.exited:
	case <-time.After(exitGrace):
		return broke
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

// usable tells whether the instance may take another invocation, also beside those that it has. The caller
// holds the fleet's lock.
func (in *instance) usable() bool {
	return !in.dead.Load() && !in.conn.Spoilt() && (in.active > 0 || in.conn.Clean())
}

// end kills the instance and frees what it held. It returns when nothing of it is left.
func (in *instance) end() {
	in.once.Do(func() {
		in.process.end()
		if in.conn != nil {
			in.conn.Close()
		}
		in.denials.flush()
		if in.pool != nil {
			in.pool.ended(in)
		}
	})
}

func newID() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
