package cli

// weir dev: one site served on this machine until it is told to end.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func newDev(s *streams) *cobra.Command {
	var f siteFlags
	var port uint16
	c := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Serve a site on this machine, its functions behind their walls",
		Long: `Serves the site in DIR (default: this folder) on loopback: its functions at
/.netlify/functions/NAME, the AWS Lambda Invoke API for them, and its static files. The
site is built anew whenever one of its files changes; requests in flight finish on the
old build. When it serves, it prints one line on stdout: ready http://ADDR (on stderr, if
records go to stdout).`,
		Example: `  weir dev
  weir dev --learn
  weir dev site --port 8888 --env-file .env.test
  weir dev --resolve api.stripe.com:443=127.0.0.1:12111 --upstream-ca mock-ca.pem`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.bounds.check(); err != nil {
				return err
			}
			f.zygotes = !f.bounds.noZygotes
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return runDev(c.Context(), s, &f, dir, fmt.Sprintf("127.0.0.1:%d", port))
		},
	}
	f.register(c)
	f.bounds.register(c)
	c.Flags().Uint16Var(&port, "port", 8888, "`PORT` to listen on; 0: any free one")
	return c
}

// gcPercent lets the heap grow to five times what is live before it is collected. The server's live
// heap is a few megabytes, which at Go's default would be collected many times a second; each time
// costs the requests in flight.
const gcPercent = 400

// tune sets the Go runtime up for a server whose functions need the machine more than it does.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		// The others are left to the functions: a thread of Go's that looks for work would take the
		// processor from the very function that the work comes from.
		runtime.GOMAXPROCS((runtime.GOMAXPROCS(0) + 1) / 2)
	}
}

func runDev(ctx context.Context, s *streams, f *siteFlags, dir, listen string) error {
	tune()
	d, closeAll, err := f.open(ctx, s, dir, listen)
	if err != nil {
		return err
	}
	defer closeAll()
	if names := d.Functions(); len(names) > 0 {
		fmt.Fprintf(s.err, "functions: %s\n", strings.Join(names, " "))
	} else {
		fmt.Fprintln(s.err, "no functions found; see [functions] directory in netlify.toml")
	}
	switch {
	case f.learn:
		fmt.Fprintf(s.err, "learning: nothing that a sandbox can let through is denied. When the functions have done what they do, go on with: %s\n", f.next(dir))
	case len(d.Functions()) > 0 && !d.Policed():
		fmt.Fprintln(s.err, "there is no policy yet, so the functions may do nothing; to make one from what they do: weir dev --learn")
	}
	ready := s.out
	if f.records.toStdout() {
		ready = s.err
	}
	fmt.Fprintf(ready, "ready http://%s\n", d.Addr())
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- d.Watch(ctx) }()
	err = d.Serve(ctx)
	cancel()
	return errors.Join(err, <-watched)
}
