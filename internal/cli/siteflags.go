package cli

// The flags that dev and invoke share: how to serve one site on this machine.

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/server"
	"github.com/weir-run/weir/internal/weir"
)

type siteFlags struct {
	envFiles    []string
	resolve     []string
	upstreamCA  []string
	records     recordFlags
	node        string
	identityKey string
	learn       bool
	only        string     // the function that will be invoked; "": any may be
	zygotes     bool       // functions may be forked; of dev only
	bounds      boundFlags // likewise
}

func (f *siteFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&f.envFiles, "env-file", nil, "`FILE` of NAME=value lines with the site's variables; may be repeated, later ones win (the site's own .env is read first)")
	f.registerOutside(c)
	f.records.register(c)
	fl.BoolVar(&f.learn, "learn", false, "let every function do what it does and record it (monitor mode); records go to DIR/"+learnedRecords+" unless --records names a file")
}

// registerServer registers those that a server for many sites has, too.
func (f *siteFlags) registerServer(c *cobra.Command) {
	f.registerOutside(c)
	f.records.register(c)
	f.bounds.register(c)
}

// registerOutside registers what functions and callers find outside.
func (f *siteFlags) registerOutside(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&f.resolve, "resolve", nil, "`HOST[:PORT]=ADDR[:PORT]`: connect to ADDR when a function calls HOST; HOST may be *.name; may be repeated")
	fl.StringArrayVar(&f.upstreamCA, "upstream-ca", nil, "PEM `FILE` of certificate authorities to trust besides the system's; may be repeated")
	fl.StringVar(&f.node, "node", "", "`PATH` of the Node.js binary (default: node from the PATH, else one that Weir fetches)")
	fl.StringVar(&f.identityKey, "identity-key", "", "`FILE` with the key that verifies callers' JSON Web Tokens: a PEM public key, or a secret for HS256")
}

func newLogger(s *streams) *slog.Logger {
	return slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: shortTime}))
}

// serverOptions adds what these flags say to the options of a server.
func (f *siteFlags) serverOptions(s *streams, o *server.ServeOptions) (err error) {
	o.NodePath, o.Progress, o.Zygotes, o.Blanks = f.node, s.err, !f.bounds.noZygotes, f.bounds.blanks
	o.MaxInstances, o.MaxMemory, o.MaxQueue = f.bounds.instances, int64(f.bounds.memory), f.bounds.queue
	o.Resolve, o.UpstreamCA, o.Verifier, err = f.outside()
	return err
}

// outside reads the flags of registerOutside.
func (f *siteFlags) outside() (resolve []egress.Override, cas []byte, verifier *gateway.IdentityVerifier, err error) {
	for _, r := range f.resolve {
		ov, err := egress.ParseOverride(r)
		if err != nil {
			return nil, nil, nil, &usageError{err}
		}
		resolve = append(resolve, ov)
	}
	for _, file := range f.upstreamCA {
		pem, err := readFile(file, "--upstream-ca")
		if err != nil {
			return nil, nil, nil, err
		}
		cas = append(append(cas, pem...), '\n')
	}
	verifier, err = f.verifier()
	return resolve, cas, verifier, err
}

// open serves a site with these flags. The caller must call the function it gets.
func (f *siteFlags) open(ctx context.Context, s *streams, dir, listen string) (*server.Dev, func(), error) {
	if f.learn {
		if err := f.learning(dir); err != nil {
			return nil, nil, err
		}
	}
	logger := newLogger(s)
	o := server.DevOptions{Dir: dir, Listen: listen, NodePath: f.node, EnvFiles: f.envFiles, Learn: f.learn, Only: f.only,
		Zygotes: f.zygotes, Blanks: f.bounds.blanks, MaxInstances: f.bounds.instances, MaxMemory: int64(f.bounds.memory), MaxQueue: f.bounds.queue,
		Log: printLines(s.err), Logger: logger, Progress: s.err}
	var err error
	if o.StateDir, err = stateDir(); err != nil {
		return nil, nil, err
	}
	if o.Resolve, o.UpstreamCA, o.Verifier, err = f.outside(); err != nil {
		return nil, nil, err
	}
	recorder, closeRecords, err := f.records.open(s, logger, o.StateDir)
	if err != nil {
		return nil, nil, err
	}
	o.Recorder, o.Unwatched = recorder, f.records.written()
	d, err := server.NewDev(ctx, o)
	if err != nil {
		closeRecords()
		return nil, nil, err
	}
	return d, func() { d.Close(); closeRecords() }, nil
}

func (f *siteFlags) verifier() (*gateway.IdentityVerifier, error) {
	if f.identityKey == "" {
		return nil, nil
	}
	key, err := readFile(f.identityKey, "--identity-key")
	if err != nil {
		return nil, err
	}
	return gateway.NewIdentityVerifier(key)
}

func readFile(path, flag string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "can't read " + path, Err: err, Remedy: "check " + flag}
	}
	return b, nil
}

// printLines writes what functions print, one line each, so that lines never mix.
func printLines(w io.Writer) func(instance.Line) {
	var mu sync.Mutex
	return func(l instance.Line) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%s %s/%s %s %s | %s\n", l.Time.Format("15:04:05.000"), l.Function, l.Instance,
			printedBy(l), l.Stream, l.Text)
	}
}

// printedBy names the request of a line, or those of which it is one.
func printedBy(l instance.Line) string {
	if len(l.Among) > 0 {
		return "one-of:" + strings.Join(l.Among, ",")
	}
	return orDash(l.Request)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shortTime shortens the time of an entry. An attribute may have the same name, and be anything.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05.000"))
	}
	return a
}
