package instance

// Denials that the kernel and the shim saw become records here. (The egress records its own.)
//
// A refused child process is seen twice: the kernel knows for certain that one was tried but not
// which program, the shim knows the program but its word is advisory. The two are joined: the
// record says what the shim says, and that the kernel confirms the attempt.

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
)

// maxDenials bounds the records of one invocation that come from inside the process, so that a
// loop of refused calls costs little. The last one says that there may be more. What the kernel saw and
// what the shim says are counted apart: words that may be forged can't crowd out facts.
const maxDenials = 200

type denials struct {
	in *instance

	mu       sync.Mutex
	requests []string // in flight; when none is any more, the last one
	invoked  bool     // an invocation has begun, so the import is over
	forks    int      // seen by the kernel, not yet named by the shim
	named    int      // told by the shim before the kernel's word for them came
	count    map[record.Source]int
}

func newDenials(in *instance) *denials { return &denials{in: in, count: map[record.Source]int{}} }

// begin takes account of a new invocation among those in flight.
func (d *denials) begin(requests []string) {
	d.mu.Lock()
	d.requests, d.named, d.invoked = requests, 0, true
	clear(d.count)
	d.mu.Unlock()
}

// during takes account of the end of one.
func (d *denials) during(requests []string) {
	d.mu.Lock()
	d.requests = requests
	d.mu.Unlock()
}

// follow takes the kernel's word for what was tried, until the process ends.
func (d *denials) follow(p program) {
	for a := range p.Attempts() {
		d.mu.Lock()
		switch {
		case startsProcess(a.Syscall) && d.named > 0:
			d.named--
		case startsProcess(a.Syscall):
			d.forks++
		default:
			d.write(record.Decision{Kind: "syscall", Target: a.Syscall,
				Reason: "no function may use this system call", Source: record.Kernel})
		}
		d.mu.Unlock()
	}
	d.flush()
	if n := p.Dropped(); n > 0 {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.write(record.Decision{Kind: "syscall", Target: fmt.Sprintf("(%d more)", n),
			Reason: "too many refused system calls to record one by one", Source: record.Kernel})
	}
}

func startsProcess(syscall string) bool {
	return syscall == "fork" || syscall == "vfork" || syscall == "clone" || syscall == "clone3"
}

// files are the kinds of rules for files and programs, as the shim calls them.
var files = map[string]policy.Kind{"read": policy.Read, "write": policy.Write, "exec": policy.Exec}

// reported takes the shim's word for a file or program that was refused, or a variable that was read.
func (d *denials) reported(r runtime.Report) {
	switch r.Kind {
	case "env":
		d.variable(r.Target)
		return
	case "code":
		d.in.cfg.code.reject()
		return
	}
	kind, ok := files[r.Kind]
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rec := record.Decision{Kind: r.Kind, Target: r.Target, Source: record.Shim}
	if isCall(r.Call) {
		rec.Call = r.Call
	}
	switch {
	case kind == policy.Exec && d.forks > 0:
		d.forks--
		rec.Confirmed = record.Kernel
	case kind == policy.Exec && d.count[record.Shim] < maxDenials: // what leaves no record hides none of the kernel's
		d.named++
	}
	req, err := policy.NewFile(kind, r.Target)
	if err != nil {
		rec.Reason = err.Error()
		d.write(rec)
		return
	}
	dec := d.in.cfg.Engine.Decide(&req)
	if dec.Allow {
		return // the system's own no (a missing file, wrong permissions), not the policy's
	}
	x := d.in.cfg.Engine.Explain(&req, dec)
	rec.Reason, rec.Nearest, rec.Rule, rec.Fix = x.Reason, x.Nearest, x.Rule, x.Fix
	d.write(rec)
}

// found records what traces told.
func (d *denials) found(rec record.Decision) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(rec)
}

// addon records that importing the function failed and that its bundle holds a native library which the
// policy doesn't allow. That the one is because of the other is a guess: what was thrown is the function's
// own word, and packages say it in words of their own. It gives what to do.
func (d *denials) addon(file string) (remedy string) {
	rec := d.in.cfg.unallowed(policy.Addon, "/var/task/"+file)
	remedy = rec.Reason
	if rec.Fix != "" {
		remedy = "allow them with " + rec.Fix
	}
	rec.Reason, rec.Source = "the import failed, and "+rec.Reason, record.Shim
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(rec)
	return remedy
}

// flush records the child processes that the shim did not name.
func (d *denials) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; d.forks > 0; d.forks-- {
		d.write(record.Decision{Kind: "exec", Target: "(a child process)", Source: record.Kernel,
			Reason: "this function may start no programs", Fix: `exec = ["/path/of/the/program"]`})
	}
}

// write completes a record and hands it on. The caller holds the lock.
func (d *denials) write(rec record.Decision) {
	d.count[rec.Source]++
	n := d.count[rec.Source]
	if n > maxDenials {
		return
	}
	rec.Time, rec.Verdict = time.Now(), cmp.Or(rec.Verdict, record.Deny)
	rec.Target = printable(rec.Target)
	rec.Function, rec.Instance, rec.Import = d.in.cfg.Function, d.in.id, !d.invoked
	rec.During(d.requests)
	if d.in.cfg.monitored() && rec.Verdict == record.Deny && rec.Kind != "syscall" { // no mode lets those through
		rec.Mode = record.Monitor
	}
	if n == maxDenials {
		rec.Reason += " (further denials of this invocation from inside the process are not recorded one by one)"
	}
	d.in.cfg.Recorder.Decided(rec)
}

// printable makes hostile text safe for whoever looks at a record: a target with anything but
// printable characters in it is quoted.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

// isCall tells whether a word of the shim's can be the name of a system call.
func isCall(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// words is what the shim needs to say why something was refused.
func (in *instance) words() runtime.Words {
	eng := in.cfg.Engine
	w := runtime.Words{Mark: in.egress.Mark(), Intrinsic: eng.Policy().Intrinsic, Files: map[string]runtime.Grant{}}
	kinds := maps.Clone(files)
	kinds["udp"] = policy.UDP
	for name, kind := range kinds {
		nowhere := policy.Request{Kind: kind}
		w.Files[name] = runtime.Grant{Rules: in.grants[name], Place: eng.Explain(&nowhere, eng.Decide(&nowhere)).Place}
	}
	return w
}

// refused passes the egress's word on to the shim.
func (in *instance) refused(r egress.Refusal) {
	in.conn.Refused(runtime.Refusal{Port: r.Port, Type: uint16(r.Type), Name: r.Name,
		Message: r.Message, Tried: r.Tried, Nearest: r.Nearest, Rule: r.Rule, Fix: r.Fix})
}
