package runtime

// Loading a function into a process: what the shim is told, and what can go wrong.

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// LoadRequest says which function to load and how its world looks.
type LoadRequest struct {
	Bundle  weir.Bundle
	Env     map[string]string // added to Lambda's own variables
	Watched []string          // variables of Env whose reading is reported; nil: none
	Limits  weir.Limits
	Node    Node
	Words   Words
	Code    *Code  // compiled ahead; nil: nothing
	Tag     string // begins the marks in what is printed that say which invocation printed it; "": there are none
	// CodeFile is where Code.Data lies, as the process sees it.
	CodeFile string
}

// Words is what the shim needs to put a refusal into words.
type Words struct {
	Mark      string           `json:"mark"`      // of HTTP responses that are refusals
	Intrinsic bool             `json:"intrinsic"` // rules are written in that language
	Files     map[string]Grant `json:"files"`     // of "read", "write" and "exec", and of "udp", without Rules
}

// Grant is what a policy has to say about one kind of file.
type Grant struct {
	Rules []string `json:"rules"` // canonical patterns: a path, or DIR/**
	Place string   `json:"place"` // where a new rule belongs
}

// LoadError is what the function's own code did wrong when it was loaded: it threw, has a syntax
// error or exports no handler.
type LoadError struct{ weir.FunctionError }

func (e *LoadError) Error() string { return e.FunctionError.Error() }

// Unwrap gives what was thrown.
func (e *LoadError) Unwrap() error { return &e.FunctionError }

// Refusal is what the shim is told about a connection that was reset or a DNS question that was refused,
// so that it can put the error into words. It is shown to people and decides nothing.
type Refusal struct {
	Port    uint16 `json:"port,omitempty"` // the process's end of the connection
	Type    uint16 `json:"type,omitempty"` // of the question (RFC 1035, section 3.2.2)
	Name    string `json:"name,omitempty"` // asked for
	Message string `json:"message"`        // all of it in one line
	Tried   string `json:"tried"`
	Nearest string `json:"nearest,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// Load has the function's code imported. Errors: *LoadError if that fails; os.ErrDeadlineExceeded if
// it takes longer than it may; any other error means that the process is gone.
func (c *Conn) Load(l LoadRequest, deadline time.Time) (weir.Form, error) {
	return c.load(l, deadline, TaskRoot)
}

// load is Load with the bundle at root, as the process sees it.
func (c *Conn) load(l LoadRequest, deadline time.Time, root string) (weir.Form, error) {
	memoryMB := l.Limits.Memory >> 20
	name := l.Bundle.Function
	handler := strings.TrimSuffix(l.Bundle.Entry, path.Ext(l.Bundle.Entry)) + "." + l.Bundle.Export
	env := environment(name, memoryMB, handler, l.Node.Major)
	maps.Copy(env, l.Env)
	var code any
	if l.Code != nil {
		code = map[string]any{"file": l.CodeFile, "sizes": l.Code.Sizes}
	}
	body, err := json.Marshal(map[string]any{
		"root": root, "entry": l.Bundle.Entry, "export": l.Bundle.Export, "env": env, "pack": l.Bundle.Pack, "code": code,
		"words": l.Words, "functionName": name, "memoryMB": memoryMB, "maxResult": maxPayload(l.Limits),
		"watched": l.Watched, "window": window, "tag": l.Tag,
		"logStreamName": time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + rand.Text(),
	})
	if err != nil {
		return "", err
	}
	k := &call{conn: c, deadline: deadline, loading: true}
	f, err := c.first(k, request(inLoad, 0, append(c.scan.secret[:], body...)))
	if err != nil {
		return "", err
	}
	c.scan.limit = maxPayload(l.Limits)
	c.maxStream = max(maxStream, l.Limits.Response)
	if f.kind == outLoaded {
		var loaded struct {
			Form weir.Form `json:"form"`
		}
		if err := json.Unmarshal(f.payload, &loaded); err != nil {
			return "", fmt.Errorf("what the shim says of the load is not JSON: %w", err)
		}
		return loaded.Form, nil
	}
	e := &LoadError{}
	if err := json.Unmarshal(f.payload, &e.FunctionError); err != nil {
		return "", fmt.Errorf("the error is not JSON: %w", err)
	}
	bound(&e.FunctionError)
	return "", e
}

// maxPayload bounds what the handler may give, as JSON: JSON's escapes can double a body, and
// there are headers.
func maxPayload(l weir.Limits) int64 { return 2*l.Response + 256<<10 }

// What is kept of an error, in bytes: it is shown to people and written to the log, and who gives it is
// hostile.
const (
	maxErrorType    = 256
	maxErrorMessage = 16 << 10
	maxErrorTrace   = 16 << 10 // all lines together
)

// bound cuts an error to what is kept of it.
func bound(e *weir.FunctionError) {
	e.Type, e.Message = weir.Cut(e.Type, maxErrorType), weir.Cut(e.Message, maxErrorMessage)
	left := maxErrorTrace
	for i, line := range e.Trace {
		e.Trace[i] = weir.Cut(line, left)
		if left -= len(e.Trace[i]) + 1; left <= 0 {
			e.Trace = e.Trace[:i+1]
			break
		}
	}
}
