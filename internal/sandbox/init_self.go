//go:build !weirinit

package sandbox

// Without an embedded first process, the binary itself is one: see Init.

import "os"

// initImage gives the file that is executed as first process, and a descriptor that must be
// passed along for it, if any.
func initImage() (string, *os.File, error) { return "/proc/self/exe", nil, nil }
