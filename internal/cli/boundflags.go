package cli

// The flags that say how instances start, and bound what the functions of a server may use together.

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/instance"
)

// boundFlags are mostly bounds; 0 is the default of the fleet, but for blanks.
type boundFlags struct {
	noZygotes bool
	blanks    int
	instances int
	memory    size
	queue     int
}

func (f *boundFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.BoolVar(&f.noZygotes, "no-zygotes", false, "start every instance by itself, instead of forking a process that has loaded its function")
	fl.IntVar(&f.blanks, "blanks", 2, "`N` processes that wait, started, for a function that has none yet; 0: none")
	fl.IntVar(&f.instances, "max-instances", 0, "`N` instances of all functions together (default: as many as fit into --max-memory)")
	fl.Var(&f.memory, "max-memory", "`SIZE` of memory that all instances may hold together before idle ones are ended and none is started (default: three quarters of the machine's)")
	fl.Lookup("max-memory").DefValue = "" // it is said in words
	fl.IntVar(&f.queue, "max-queue", instance.DefaultQueue, "`N` callers of one function that may wait for an instance; more are answered 429 or 503")
}

func (f *boundFlags) check() error {
	if f.blanks < 0 || f.instances < 0 || f.queue < 1 {
		return &usageError{errors.New("--blanks and --max-instances must be at least 0, --max-queue at least 1")}
	}
	return nil
}
