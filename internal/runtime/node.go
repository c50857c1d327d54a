package runtime

// Which Node runs functions: the machine's own, or one that Weir fetches.

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// MinMajor is the oldest major version of Node that functions run on.
const MinMajor = 20

// Node is one Node.js binary.
type Node struct {
	Path    string // absolute, without symbolic links
	Version string // such as "v24.4.0"
	Major   int
}

// NodeOptions says which Node is wanted and where to look.
type NodeOptions struct {
	Major    int       // 0: any from MinMajor on
	Path     string    // asked first, if not ""
	StateDir string    // where managed versions are kept
	Progress io.Writer // told about a download; may be nil
}

// FindNode gives the Node binary to use: that of o.Path, else of the PATH, else a managed one that
// it fetches if need be. If a major version is asked for, binaries of others are passed over; any
// other fault of o.Path, and of the PATH's if no version is asked for, is an error. The error says
// what is wrong and what to do.
func FindNode(ctx context.Context, o NodeOptions) (Node, error) {
	if o.Path != "" {
		n, err := inspect(ctx, o.Path)
		if err != nil || o.Major == 0 || n.Major == o.Major {
			return n, err
		}
	}
	if path, err := exec.LookPath("node"); err == nil {
		n, err := inspect(ctx, path)
		if o.Major == 0 || err == nil && n.Major == o.Major {
			return n, err
		}
	}
	return managedNode(ctx, o)
}

// inspect asks a binary for its version.
func inspect(ctx context.Context, path string) (Node, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return Node{}, &weir.Error{Code: weir.Invalid, Message: "no Node.js at " + path, Err: err, Remedy: "check --node"}
	}
	out, err := exec.CommandContext(ctx, real, "-p", "process.version + ' ' + process.execPath").Output()
	if err != nil {
		return Node{}, &weir.Error{Code: weir.Invalid, Message: path + " does not run", Err: err, Remedy: "check --node"}
	}
	// A version manager's shim says here which binary it would start.
	version, real, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	major, err := strconv.Atoi(strings.Split(strings.TrimPrefix(version, "v"), ".")[0])
	if err != nil {
		return Node{}, &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("%s is not Node.js: its version is %q", path, version), Remedy: "check --node"}
	}
	if major < MinMajor {
		return Node{}, &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("Node.js %s at %s is too old", version, path),
			Remedy: fmt.Sprintf("install Node.js %d or newer, or name another with --node", MinMajor)}
	}
	return Node{Path: real, Version: version, Major: major}, nil
}
