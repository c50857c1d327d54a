package runtime

// Compiled code of packs. V8 believes whatever it is given as such, so it is made where none of the
// function's code runs, and read by nobody who could have changed it since.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"

	"github.com/weir-run/weir/internal/weir"
)

// CodePath is where the compiled code of a function's pack lies inside a sandbox, if there is any.
const CodePath = ShimDir + "/code"

// MaxCode bounds the compiled code of one pack, in bytes.
const MaxCode = 64 << 20

// CompileArgv gives the command line that compiles the pack in TaskRoot and writes what ReadCode reads
// to descriptor 3. It runs Node as Argv does, as V8 asks for: code is compiled for a set of flags.
func CompileArgv(n Node, l weir.Limits) []string {
	argv := Argv(n, l)
	argv[len(argv)-1] = ShimDir + "/compile.cjs"
	return argv
}

// Code is the compiled code of a pack.
type Code struct {
	Sizes []int // of each script's part of Data, in bytes
	Data  []byte
}

// ParseCode reads what a process that compiles has written.
func ParseCode(b []byte) (*Code, error) {
	head, data, ok := bytes.Cut(b, []byte("\n"))
	c := &Code{Data: data}
	if !ok || len(b) > MaxCode {
		return nil, errors.New("the compiled code is cut short, or too large")
	}
	if err := json.Unmarshal(head, &c.Sizes); err != nil {
		return nil, fmt.Errorf("the compiled code's sizes can't be read: %w", err)
	}
	left := len(data)
	for _, n := range c.Sizes {
		if n < 0 || n > left {
			return nil, errors.New("the compiled code's sizes are not those of its parts")
		}
		left -= n
	}
	if left != 0 || len(c.Sizes) == 0 {
		return nil, errors.New("the compiled code's sizes are not those of its parts")
	}
	return c, nil
}

// CodeKey names the compiled code of a pack, given the content of its pack.js and of its pack.json, which says where
// in the former each script stands: that of another pack, of another build of Node, for other flags or by another shim
// has another name. V8 looks at the length of a script only, and would run what was compiled of another one as long.
func CodeKey(n Node, l weir.Limits, pack, index io.Reader) (string, error) {
	info, err := os.Stat(n.Path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	all, err := json.Marshal([]any{n, info.Size(), info.ModTime().UnixNano(), goruntime.GOARCH, CompileArgv(n, l)})
	if err != nil {
		return "", err
	}
	h.Write(all)
	for _, part := range []io.Reader{bytes.NewReader(Content()[ShimDir+"/pack.cjs"]), pack, index} {
		sum := sha256.New()
		if _, err := io.Copy(sum, part); err != nil {
			return "", err
		}
		h.Write(sum.Sum(nil))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
