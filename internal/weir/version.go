package weir

// What is asked for help with a server is first which version it is.

import "runtime/debug"

// version is set by the linker: see Makefile.
var version string

// Version tells what this program was built from: a tag, or a commit. Of one that was built by go install it is the
// version of the module; "devel" if nobody said, as in tests.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
