package cli

// weir doctor: the walls of this machine, before a function needs them.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

func newDoctor(s *streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say which walls this machine can raise, and how to get those it can't",
		Long: `Raises a sandbox and says of each wall whether it is in force, replaced by a fallback or
missing, and what to do about it; then lists the versions of Node.js that functions can
run on. The exit code is 4 if functions can't be run here for want of a wall, and 3 for
want of Node.js.`,
		Example: `  weir doctor
  weir doctor --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error { return runDoctor(c, s, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func runDoctor(c *cobra.Command, s *streams, asJSON bool) error {
	dir, err := stateDir()
	if err != nil {
		return err
	}
	node, nodeErr := runtime.FindNode(c.Context(), runtime.NodeOptions{StateDir: dir, Progress: s.err})
	w := sandbox.Wall{Name: "node", State: sandbox.InForce, Detail: node.Version + " at " + node.Path}
	if nodeErr != nil {
		w.State, w.Detail = sandbox.Missing, nodeErr.Error()
		var e *weir.Error
		if errors.As(nodeErr, &e) {
			w.Detail, w.Remedy = e.Message, e.Remedy
		}
	}
	walls, refusal := examine(c.Context(), dir, node)
	walls = append(append(walls, w, blanks(dir)), nodes(dir, node)...)
	if asJSON {
		if err := printJSON(s, walls); err != nil {
			return err
		}
	} else {
		printWalls(s, walls)
	}
	if refusal != nil {
		return refusal
	}
	return nodeErr
}

// blanks tells whether processes can wait for their function here.
func blanks(dir string) sandbox.Wall {
	if err := instance.CheckBlanks(dir); err != nil {
		return sandbox.Wall{Name: "blanks", State: sandbox.Fallback, Detail: "every instance starts Node.js anew: " + err.Error(),
			Remedy: "put the state directory where files can have hard links, and let nobody else write there"}
	}
	return sandbox.Wall{Name: "blanks", State: sandbox.InForce, Detail: "instances can take over processes in which Node.js has started"}
}

// nodes says of each version of Node.js that a function may name where it comes from; own is the server's.
func nodes(dir string, own runtime.Node) []sandbox.Wall {
	var out []sandbox.Wall
	for _, major := range runtime.Majors {
		w := sandbox.Wall{Name: fmt.Sprintf("nodejs%d", major), State: sandbox.InForce}
		version, path := runtime.ManagedVersion(major, dir)
		switch {
		case own.Major == major:
			w.Detail = own.Version + " at " + own.Path
		case path != "":
			w.Detail = version + " at " + path
		case version != "":
			w.State, w.Detail = sandbox.Fallback, version+" is fetched from the npm registry when a function first asks for it"
		default:
			w.State, w.Detail = sandbox.Missing, "no version is managed for this machine's architecture"
			w.Remedy = fmt.Sprintf("put Node.js %d on the PATH", major)
		}
		out = append(out, w)
	}
	return out
}

// examine gives the state of the walls, and the reason if functions can't be run at all. Whether they can
// be forked depends on the Node.js, if there is one.
func examine(ctx context.Context, dir string, node runtime.Node) ([]sandbox.Wall, error) {
	l, err := sandbox.NewLauncher(sandbox.Options{StateDir: dir})
	if err != nil {
		return sandbox.Diagnose(err), err
	}
	defer l.Close()
	walls := slices.Clone(l.Walls())
	for i, w := range walls {
		if w.Name == sandbox.Zygote && w.State == sandbox.InForce && node.Path != "" {
			walls[i] = instance.Forking(ctx, l, node)
		}
	}
	return walls, nil
}

func printWalls(s *streams, walls []sandbox.Wall) {
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, w := range walls {
		fmt.Fprintf(t, "%s\t%s\t%s\n", w.Name, w.State, w.Detail)
		if w.Remedy != "" {
			fmt.Fprintf(t, "\t\tremedy: %s\n", w.Remedy)
		}
	}
	t.Flush()
}
