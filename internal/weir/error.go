package weir

// Errors have one type, so that every one has a class for programs and words for people.

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the class of an Error. Callers decide by it; one table turns it into an HTTP status
// (Status) and one into an exit code (internal/cli).
type Code string

// The classes of errors.
const (
	Internal    Code = "internal"    // a fault of Weir's own
	Invalid     Code = "invalid"     // bad input: a file, a flag, a request
	NotFound    Code = "not_found"   // no such function, file or site
	Conflict    Code = "conflict"    // it was changed by somebody else in the meantime, or is there already
	Unknown     Code = "unknown"     // who asks is not known: no token, or none that counts
	Denied      Code = "denied"      // a policy, a wall or a missing right said no
	NoWall      Code = "no_wall"     // a wall cannot be raised, so nothing is run
	TimedOut    Code = "timed_out"   // a limit of time was reached
	TooLarge    Code = "too_large"   // a limit of size was reached
	TooSlow     Code = "too_slow"    // a client did not send its request in time
	Crashed     Code = "crashed"     // the function's process ended or broke the protocol
	Broken      Code = "broken"      // the function can't be loaded: syntax, throw at import, no handler
	Busy        Code = "busy"        // the function does as much as it may at a time; later it may take the request
	Unavailable Code = "unavailable" // no capacity now; the same request may succeed later
)

// Error is an error that a person will read. Message says what is wrong and where; Remedy, when
// not empty, says what to do about it. Both are for users: internal detail belongs in Err.
type Error struct {
	Code    Code
	Pos     Position // where in a user's file, if anywhere
	Message string
	Remedy  string
	Err     error // the cause, or nil
}

// Error gives "FILE:LINE:COLUMN: message: cause; remedy", leaving out what is not there.
func (e *Error) Error() string {
	var b strings.Builder
	if p := e.Pos.String(); p != "" {
		b.WriteString(p)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(e.Remedy)
	}
	return b.String()
}

// Told gives what a caller of the function may read: "FILE:LINE:COLUMN: message", and what the function
// threw, if that is the cause. Any other cause is internal.
func (e *Error) Told() string {
	told := e.Message
	if p := e.Pos.String(); p != "" {
		told = p + ": " + told
	}
	var thrown *FunctionError
	if errors.As(e.Err, &thrown) {
		told += ": " + thrown.Error()
	}
	return told
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorCode gives the Code of the first Error in err's chain, Internal for any other error and
// "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// Position is a place in a user's file. Line and Column count from 1; 0 means unknown.
type Position struct {
	File   string
	Line   int
	Column int
}

// String gives "FILE:LINE:COLUMN", shorter where parts are unknown, "" for the zero Position.
func (p Position) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}
