package cli

// Help is what most people read of Weir.

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// unnamed is a flag whose value is called by a type of Go.
var unnamed = regexp.MustCompile(`--[a-z-]+ (string|stringArray|int|uint16|size) `)

func TestHelpNamesTheValuesOfFlags(t *testing.T) {
	for _, c := range commands(newRoot(&streams{nil, io.Discard, io.Discard})) {
		if got := unnamed.FindString(c.UsageString()); got != "" {
			t.Errorf("%s: %s", c.CommandPath(), got)
		}
		if strings.Contains(c.UsageString(), "(default )") {
			t.Errorf("%s has a flag whose default is nothing", c.CommandPath())
		}
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
	}
}

func TestThePageNamesEveryCommandAndFlag(t *testing.T) {
	b, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	flag := regexp.MustCompile(`--[a-z-]+`)
	for _, c := range commands(newRoot(&streams{nil, io.Discard, io.Discard})) {
		if !c.HasSubCommands() && !strings.Contains(page, c.CommandPath()+" ") {
			t.Errorf("docs/cli.md does not name %s", c.CommandPath())
		}
		for _, f := range flag.FindAllString(c.LocalFlags().FlagUsages(), -1) {
			if f != "--help" && !strings.Contains(page, f) {
				t.Errorf("docs/cli.md does not name %s of %s", f, c.CommandPath())
			}
		}
	}
}

// commands gives a command and all below it.
func commands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, below := range c.Commands() {
		all = append(all, commands(below)...)
	}
	return all
}
