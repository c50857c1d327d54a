//go:build !weirzygote

package zygote

// Without a C compiler there is no addon, and instances start by themselves.

// Addon gives the addon, a shared object; nil if it was not built.
func Addon() []byte { return nil }
