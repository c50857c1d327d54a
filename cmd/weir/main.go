// Command weir runs functions of Netlify sites behind walls of the operating system.
package main

import (
	"os"

	"github.com/weir-run/weir/internal/cli"
	"github.com/weir-run/weir/internal/sandbox"
)

func main() {
	sandbox.Init() // does not return in a sandbox's first process
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
