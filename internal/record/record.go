// Package record is what was tried and what became of it, and what people changed: decisions, invocations and changes
// as JSON lines, written in a signed chain, sent elsewhere, read back and checked. It must not know who decides or why. The schema is docs/records.md. No secret and no body ever
// enters a record.
package record

import (
	"slices"
	"strconv"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// Source says who saw an attempt: the wall that held it, or code inside the function's process,
// whose word is advisory.
type Source string

// The sources.
const (
	Egress Source = "egress" // the capture of egress: a fact
	Kernel Source = "kernel" // a system call that was refused: a fact
	Shim   Source = "shim"   // the runtime inside the function's process: advisory
)

// Verdict is what was decided.
type Verdict string

// The verdicts.
const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
)

// Monitor is the mode of a decision that was recorded but not enforced.
const Monitor = "monitor"

// Version is the version of the schema of records.
const Version = 2

// Kinds are the kinds of decisions.
var Kinds = []string{"http", "ws", "tcp", "udp", "dns", "tls", "read", "write", "exec", "env", "addon", "syscall"}

// Decision is one thing that a function tried, and whether it may.
type Decision struct {
	Time     time.Time `json:"time"`
	Verdict  Verdict   `json:"decision"`
	Mode     string    `json:"mode,omitempty"`   // Monitor: what enforcement would have decided; it was let through
	Site     string    `json:"site,omitempty"`   // id, on a server
	Deploy   string    `json:"deploy,omitempty"` // likewise
	Function string    `json:"function"`
	Instance string    `json:"instance"`
	Request  string    `json:"request,omitempty"`  // id of the invocation in flight, if one was
	Requests []string  `json:"requests,omitempty"` // ids of those in flight, if several were: one of them tried it, and nobody knows which
	Import   bool      `json:"import,omitempty"`   // it was tried before the first invocation
	Kind     string    `json:"kind"`               // one of Kinds
	Method   string    `json:"method,omitempty"`   // http only
	Target   string    `json:"target"`             // URL without query, host:port, path, program or system call
	Call     string    `json:"call,omitempty"`     // read, write: the system call that failed, as the shim tells
	Reason   string    `json:"reason,omitempty"`   // of a denial: one line
	Nearest  string    `json:"nearest,omitempty"`  // the rule that allowed it or came nearest, as written
	Rule     string    `json:"rule,omitempty"`     // where that rule stands, FILE:LINE
	Fix      string    `json:"fix,omitempty"`      // the smallest line that would allow it
	Named    string    `json:"named,omitempty"`    // the site's variable whose value names the host
	Source   Source    `json:"source"`
	// Confirmed is who, besides Source, saw that something of this kind was tried, but not what.
	Confirmed Source    `json:"confirmed,omitempty"`
	Count     int       `json:"count,omitempty"` // how many more like the one recorded first
	Last      time.Time `json:"last,omitzero"`   // when the last of them was
}

// maxRequests bounds how many invocations a decision names.
const maxRequests = 32

// During says which invocations were in flight. If they are too many to be named, none is.
func (d *Decision) During(ids []string) {
	switch n := len(ids); {
	case n == 1:
		d.Request = ids[0]
	case n <= maxRequests:
		d.Requests = slices.Clone(ids)
	}
}

// Among gives the ids of the invocations that it may belong to.
func (d *Decision) Among() []string {
	if d.Request != "" {
		return []string{d.Request}
	}
	return d.Requests
}

// texts are the fields that others than Weir have a hand in: code in functions, and the site's author.
func (d *Decision) texts() [7]*string {
	return [...]*string{&d.Method, &d.Target, &d.Call, &d.Reason, &d.Nearest, &d.Rule, &d.Fix}
}

// Invocation is one call of a function and how it ended.
type Invocation struct {
	Time     time.Time `json:"time"` // start
	Site     string    `json:"site,omitempty"`
	Deploy   string    `json:"deploy,omitempty"`
	Function string    `json:"function"`
	Instance string    `json:"instance,omitempty"`
	Request  string    `json:"request"`
	Outcome  string    `json:"outcome"` // ok, error (the handler threw), timed_out, crashed, too_large, broken, unavailable, cancelled (the client did not wait for the end of a stream) …
	Millis   float64   `json:"ms"`
	Cold     bool      `json:"cold"`            // an instance was started for it
	Start    Start     `json:"start,omitempty"` // how, if it was
	Error    string    `json:"error,omitempty"` // type of the handler's error, or the cause
}

// AppendJSON appends the invocation to b as encoding/json would write it, in a fraction of the time: every call of a
// function is written.
func (i *Invocation) AppendJSON(b []byte) []byte { return append(i.appendFields(append(b, '{')), '}') }

// appendFields writes what stands between the braces.
func (i *Invocation) appendFields(b []byte) []byte {
	b = append(i.Time.AppendFormat(append(b, `"time":"`...), time.RFC3339Nano), '"')
	b = appendUnlessEmpty(b, `,"site":`, i.Site)
	b = appendUnlessEmpty(b, `,"deploy":`, i.Deploy)
	b = weir.AppendString(append(b, `,"function":`...), i.Function)
	b = appendUnlessEmpty(b, `,"instance":`, i.Instance)
	b = weir.AppendString(append(b, `,"request":`...), i.Request)
	b = weir.AppendString(append(b, `,"outcome":`...), i.Outcome)
	b = strconv.AppendFloat(append(b, `,"ms":`...), i.Millis, 'f', -1, 64)
	b = strconv.AppendBool(append(b, `,"cold":`...), i.Cold)
	b = appendUnlessEmpty(b, `,"start":`, string(i.Start))
	return appendUnlessEmpty(b, `,"error":`, i.Error)
}

func appendUnlessEmpty(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return weir.AppendString(append(b, key...), value)
}

// Start says where the process of an instance came from.
type Start string

// The ways in which an instance starts, the slowest first.
const (
	FromNothing Start = "process" // Node.js was started for it
	FromPool    Start = "pool"    // it took over a process in which Node.js had started already
	FromZygote  Start = "zygote"  // it was forked from a process that had loaded the function already
)

// Dropped stands for records that could not be written, where they would have stood.
type Dropped struct {
	Time  time.Time `json:"time"`
	Count int       `json:"count"`
}

// Header is the first line of a file in a chain.
type Header struct {
	Time time.Time `json:"time"` // when the file was begun
	File string    `json:"file"` // id of the file, random
	Seq  int       `json:"seq"`  // number of the file in its chain, from 1
	Key  string    `json:"key"`  // fingerprint of the key that signs the file's checkpoints
	// Found is set if the writer found the file before sealed, and none that followed: a crash between the
	// two, or somebody removed what followed.
	Found bool   `json:"found,omitempty"`
	Prev  string `json:"prev,omitempty"` // hash of the last line of the file before
}

// State is how a stretch of a file ended.
type State string

// The states of a checkpoint that is more than a mark on the way.
const (
	Closed State = "closed" // the writer ended in order; another one may go on
	Sealed State = "sealed" // the file is full; nothing follows in it
)

// Checkpoint signs all lines before it.
type Checkpoint struct {
	Time  time.Time `json:"time"`
	State State     `json:"state,omitempty"` // Closed, Sealed or "": a mark on the way
	Prev  string    `json:"prev,omitempty"`
	Sig   string    `json:"sig,omitempty"` // Ed25519, base64
}

// Resumed says that a writer went on with a file that it found.
type Resumed struct {
	Time   time.Time `json:"time"`
	Closed bool      `json:"closed"`         // the writer before had ended in order
	Torn   int       `json:"torn,omitempty"` // bytes of an unfinished last line that were taken away
}

// Recorder takes records. Its methods never block for long, never fail towards the caller and may
// be called from many goroutines at once.
type Recorder interface {
	Decided(Decision)
	Invoked(Invocation)
}

// Change is one change that somebody made on a server.
type Change struct {
	Time   time.Time         `json:"time"`
	Author string            `json:"author"`           // name of the token
	From   string            `json:"from,omitempty"`   // address of the client
	Action string            `json:"action"`           // what was done: "deploy.publish", "env.set", "deploy.approve" …
	Site   string            `json:"site,omitempty"`   // id
	Deploy string            `json:"deploy,omitempty"` // id
	Detail map[string]string `json:"detail,omitempty"` // what else matters; never a secret
}
