package server

// weir dev: one site on loopback, behind the same walls as in production.

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/invoke"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// How long the server waits when it is told to stop: for requests in flight, and then for invocations
// whose callers are gone. Together it is less than what process managers grant (Docker: 10 s).
const (
	shutdownTime = 5 * time.Second
	closeTime    = 2 * time.Second
)

// DevOptions says how to serve one site for development.
type DevOptions struct {
	Dir        string // the site
	StateDir   string // artifacts and managed Node versions
	Listen     string // loopback address and port; port 0: any free one
	NodePath   string // "": node from the PATH, or a managed one
	EnvFiles   []string
	Resolve    []egress.Override
	UpstreamCA []byte // PEM, trusted besides the system's roots
	Verifier   *gateway.IdentityVerifier
	Recorder   record.Recorder     // takes denials and invocations
	Log        func(instance.Line) // takes what functions print
	Logger     *slog.Logger
	Progress   io.Writer // told about a download of Node; may be nil
	Zygotes    bool      // functions have processes that are forked for their instances, where that can be
	Blanks     int       // processes that wait for a function; 0: none
	// Bounds of all functions together, and of callers that wait for one function; 0: the defaults of
	// internal/instance. MaxMemory is in bytes.
	MaxInstances, MaxQueue int
	MaxMemory              int64
	Learn                  bool     // every policy is monitored, also of functions without one: records are what is wanted
	Unwatched              []string // absolute paths of files that this process writes, records or else: their changes mean nothing
	Only                   string   // the one function that will be invoked, so that no others are tried as packs; "": any may be
}

// Dev serves one site. It is made by NewDev and must be closed.
type Dev struct {
	*machine
	opts       DevOptions
	proxy      http.RoundTripper // for rules of the site that lead elsewhere
	serving    context.Context   // ends when no request is to be begun any more
	stop       context.CancelFunc
	trials     *trials
	recorder   *record.Redactor
	violations *violations
	named      *naming
	dispatcher *invoke.Dispatcher
	background *background
	watcher    *fsnotify.Watcher
	listener   net.Listener
	handler    atomic.Pointer[http.Handler] // of the current deployment
	current    *deployment                  // owned by the goroutine that deploys; nil before the first
	warnings   []string                     // of the last build; owned by the same
}

// NewDev finds out that the walls can be raised, builds the site and listens. It starts no
// function yet.
func NewDev(ctx context.Context, o DevOptions) (d *Dev, err error) {
	d = &Dev{opts: o, violations: newViolations(o.Log), named: newNaming(o.Recorder)}
	d.recorder = record.NewRedactor(record.Multi(d.named, d.violations))
	if d.opts.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if d.listener, err = listen(o.Listen); err != nil {
		return nil, err
	}
	// A developer's own machine: that a rule names a host is enough for it to be reached, wherever it is.
	out := egress.Options{Resolve: o.Resolve, UpstreamCAs: o.UpstreamCA, AllowPrivate: true}
	if d.machine, err = newMachine(machineOptions{StateDir: o.StateDir, NodePath: o.NodePath, Egress: out, Logger: o.Logger, Progress: o.Progress,
		Zygotes: o.Zygotes, Blanks: o.Blanks, MaxInstances: o.MaxInstances, MaxQueue: o.MaxQueue, MaxMemory: o.MaxMemory}); err != nil {
		d.listener.Close()
		return nil, err
	}
	d.proxy = d.egress.Transport(true)
	d.serving, d.stop = context.WithCancel(context.Background())
	if d.trials, err = newTrials(d); err != nil {
		return nil, err
	}
	d.dispatcher = invoke.NewDispatcher(d.recorder)
	d.background = newBackground(d.dispatcher, o.Logger)
	if err = d.newWatcher(); err == nil {
		_, err = d.Reload(ctx)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "can't listen on " + addr, Err: err, Remedy: "choose another --port"}
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		l.Close()
		return nil, &weir.Error{Code: weir.Invalid, Message: addr + " is not a loopback address",
			Remedy: "weir dev is for this machine only: listen on 127.0.0.1 or [::1]"}
	}
	return l, nil
}

// Addr is the address that the server listens on.
func (d *Dev) Addr() string {
	if d.listener == nil { // it is only built
		return "localhost"
	}
	return d.listener.Addr().String()
}

// Functions gives the names of the site's functions, in order.
func (d *Dev) Functions() []string { return d.current.names() }

// Policed tells whether any function of the site has a policy of its own, be it an empty one.
func (d *Dev) Policed() bool {
	for _, p := range d.current.made.policies {
		if p.Source != "" {
			return true
		}
	}
	return false
}

// Reload builds the site anew and swaps it in; requests in flight finish on the old build. On an
// error, and if nothing has changed that counts, the old build goes on serving. It must not be called
// twice at a time.
func (d *Dev) Reload(ctx context.Context) (changed bool, err error) {
	dep, err := d.deploy(ctx)
	if err != nil || dep == nil {
		return false, err
	}
	h := gateway.New(gateway.Options{
		Files:        files(dep.artifact.Publish),
		Rules:        dep.made.rules,
		Lambda:       true,
		Proxy:        d.proxy,
		Signer:       d.signer(dep.made.env),
		Ending:       d.serving,
		Functions:    d.dispatcher,
		Accept:       d.background.accept,
		TrySchedules: true,
		Configs:      dep.configs(),
		Headers:      headers(),
		AllowHost:    loopbackHost,
		Verifier:     d.opts.Verifier,
		Logger:       d.opts.Logger,
	})
	d.dispatcher.Swap(dep.backends, d.current.close)
	d.handler.Store(&h)
	d.current = dep
	return true, nil
}

// loopbackHost tells whether a Host header names this machine. Any other name reached us by DNS
// rebinding or by mistake.
func loopbackHost(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, ""
	}
	if strings.Trim(port, "0123456789") != "" { // "localhost:1@evil.test" begins a URL of another host
		return false
	}
	if len(name) > 1 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	}
	ip := net.ParseIP(name)
	return name == "localhost" || (ip != nil && ip.IsLoopback())
}

// Invoke runs one invocation without HTTP.
func (d *Dev) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, error) {
	return d.dispatcher.Invoke(ctx, inv)
}

// Serve answers requests until ctx ends. Then it gives those in flight a while to finish, and refuses
// others until it has ended.
func (d *Dev) Serve(ctx context.Context) error {
	requests := newDrain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*d.handler.Load()).ServeHTTP(w, r)
	}))
	srv := &http.Server{
		Handler:           requests,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(d.opts.Logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		d.stop()
		grace, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		requests.close(grace)
		stopped <- srv.Shutdown(grace)
	}()
	if err := srv.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if err := <-stopped; err != nil {
		return srv.Close()
	}
	return nil
}

// Close ends every function and frees what the server held. Invocations still in flight are given a
// moment to end by themselves.
func (d *Dev) Close() {
	d.stop()
	d.listener.Close()
	if d.watcher != nil {
		d.watcher.Close()
	}
	late := time.AfterFunc(closeTime, func() { d.launcher.Close() })
	d.background.close()
	d.dispatcher.Close()
	d.background.running.Wait()
	late.Stop()
	d.current.close()
	d.trials.close()
	d.machine.close()
	d.violations.Close()
}
