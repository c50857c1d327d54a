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

// NodeOptions says where to look.
type NodeOptions struct {
	Path     string    // "": the PATH, then a managed version
	StateDir string    // where managed versions are kept
	Progress io.Writer // told about a download; may be nil
}

// FindNode gives the Node binary to use: that of o.Path, else of the PATH, else a managed one that
// it fetches if need be. The error says what is wrong and what to do.
func FindNode(ctx context.Context, o NodeOptions) (Node, error) {
	path := o.Path
	if path == "" {
		var err error
		if path, err = exec.LookPath("node"); err != nil {
			return managedNode(ctx, o)
		}
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return Node{}, &weir.Error{Code: weir.Invalid, Message: "no Node.js at " + path, Err: err, Remedy: "check --node"}
	}
	return inspect(ctx, real)
}

// inspect asks a binary for its version.
func inspect(ctx context.Context, path string) (Node, error) {
	out, err := exec.CommandContext(ctx, path, "-p", "process.version + ' ' + process.execPath").Output()
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
