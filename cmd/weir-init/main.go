// Command weir-init is the first process of a sandbox: it raises the walls and becomes the
// program. Weir starts it; started by hand it only says so.
package main

import "github.com/weir-run/weir/internal/sandbox/walls"

func main() { walls.Main() }
