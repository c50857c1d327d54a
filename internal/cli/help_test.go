package cli

// Help is what most people read of Weir.

import (
	"io"
	"regexp"
	"testing"

	"github.com/spf13/cobra"
)

// unnamed is a flag whose value is called by a type of Go.
var unnamed = regexp.MustCompile(`--[a-z-]+ (string|stringArray|int|uint16|size) `)

func TestHelpNamesTheValuesOfFlags(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if got := unnamed.FindString(c.UsageString()); got != "" {
			t.Errorf("%s: %s", c.CommandPath(), got)
		}
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, below := range c.Commands() {
			walk(below)
		}
	}
	walk(newRoot(&streams{nil, io.Discard, io.Discard}))
}
