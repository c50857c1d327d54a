// Package runtime is Node.js inside a sandbox: the shim that loads and calls a function's handler,
// the channel to it, and where the Node binary comes from. It must not know what confines the
// process or who calls the function.
package runtime

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/weir-run/weir/internal/weir"
)

const (
	// ShimDir is where the shim lies inside a sandbox.
	ShimDir = "/opt/weir"
	// CertPath is where the sandbox's certificate authorities must lie inside it, as PEM.
	CertPath = "/etc/ssl/cert.pem"
	// TaskRoot is where a function's bundle lies inside a sandbox (LAMBDA_TASK_ROOT).
	TaskRoot = "/var/task"
)

//go:embed shim/*.cjs
var shim embed.FS

// Content gives the shim's files by their paths inside the sandbox.
func Content() map[string][]byte {
	files := map[string][]byte{}
	entries, err := fs.ReadDir(shim, "shim")
	if err != nil {
		panic(err) // the files are part of this binary
	}
	for _, e := range entries {
		b, err := shim.ReadFile("shim/" + e.Name())
		if err != nil {
			panic(err)
		}
		files[path.Join(ShimDir, e.Name())] = b
	}
	return files
}

// Argv gives the command line that starts Node with the shim. It holds no secret.
//
// V8 may use three quarters of the memory limit for its old generation; the rest is for buffers,
// code and Node itself.
func Argv(n Node, l weir.Limits) []string {
	heap := l.Memory >> 20 * 3 / 4
	return []string{n.Path, "--use-openssl-ca", fmt.Sprintf("--max-old-space-size=%d", heap), ShimDir + "/main.cjs"}
}

// Blank ends the command line of a process that waits for its function: meanwhile it loads what most
// functions use of Node.
const Blank = "blank"

// ZygoteArgv gives the command line of a Node that loads a function and is then forked for each instance.
// It does all work of V8's on one thread: others would be missing in a child. It compiles whatever it loads and
// keeps that, or each child would have to. And V8 must not take the zygote's long wait for a reason to collect
// garbage: each child would begin with that.
func ZygoteArgv(n Node, l weir.Limits) []string {
	argv := Argv(n, l)
	flags := []string{"--single-threaded", "--v8-pool-size=0", "--no-lazy", "--no-flush-bytecode", "--no-memory-reducer"}
	return slices.Concat(argv[:1], flags, argv[1:], []string{"zygote"})
}

// Reserve gives how much writable memory Node maps without using it, in bytes: since version 24, V8
// maps half a gigabyte (its code range) and some more for the process and for each of its workers, of
// which there can be about as many as the limit of processes allows for; where the mapping fails, V8 ends the process.
func Reserve(n Node, l weir.Limits) int64 {
	const isolate = 544 << 20
	const more = 20 // the main thread, and workers in the place of threads of Node's own that it does not start
	if n.Major < 24 {
		return 0
	}
	return int64(l.Processes+more) * isolate
}

// Environ gives the variables that Node needs before the shim runs. SSL_CERT_FILE makes OpenSSL
// trust the sandbox's authority (openssl-env(7)); io_uring is refused in a sandbox, and libuv need
// not find out.
func Environ() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "SSL_CERT_FILE=" + CertPath, "UV_USE_IO_URING=0"}
}

// environment gives what process.env holds besides the caller's variables, as on AWS Lambda.
func environment(function string, memoryMB int64, handler string, nodeMajor int) map[string]string {
	return map[string]string{
		"PATH":                            "/usr/local/bin:/usr/bin:/bin",
		"SSL_CERT_FILE":                   CertPath,
		"UV_USE_IO_URING":                 "0",
		"HOME":                            "/tmp",
		"TMPDIR":                          "/tmp",
		"LANG":                            "en_US.UTF-8",
		"TZ":                              ":UTC",
		"LAMBDA_TASK_ROOT":                TaskRoot,
		"LAMBDA_RUNTIME_DIR":              ShimDir,
		"_HANDLER":                        handler,
		"AWS_EXECUTION_ENV":               fmt.Sprintf("AWS_Lambda_nodejs%d.x", nodeMajor),
		"AWS_REGION":                      "us-east-1",
		"AWS_DEFAULT_REGION":              "us-east-1",
		"AWS_LAMBDA_FUNCTION_NAME":        function,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": fmt.Sprint(memoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + function,
	}
}
