//go:build weirzygote

package zygote

// Where there was a C compiler, make has built the addon, and it is part of this binary.

import _ "embed"

//go:embed fork.node
var addon []byte

// Addon gives the addon, a shared object; nil if it was not built.
func Addon() []byte { return addon }
