package record

// Records must hold no secret, and hostile code chooses the URLs and paths that stand in them: what
// equals a value of the site's variables is taken out before anything is written.

import (
	"sort"
	"strings"
	"sync/atomic"
)

// minSecret is the length, in bytes, from which a value is taken for a secret: a shorter one stands
// in ordinary texts by chance.
const minSecret = 8

// Redactor passes records on without the values of variables. It does not know a value in disguise
// (in base64, cut in two). It is safe for concurrent use.
type Redactor struct {
	next     Recorder
	replacer atomic.Pointer[strings.Replacer]
}

// NewRedactor makes a Redactor that knows no values yet.
func NewRedactor(next Recorder) *Redactor {
	r := &Redactor{next: next}
	r.SetValues(nil)
	return r
}

// SetValues gives the variables whose values are taken out from now on, by their names.
func (r *Redactor) SetValues(env map[string]string) {
	var names []string
	for name, value := range env {
		if len(value) >= minSecret {
			names = append(names, name)
		}
	}
	// The longest first: one value may be part of another.
	sort.Slice(names, func(i, j int) bool {
		a, b := env[names[i]], env[names[j]]
		return len(a) > len(b) || len(a) == len(b) && names[i] < names[j]
	})
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, env[name], "["+name+"]")
	}
	r.replacer.Store(strings.NewReplacer(pairs...))
}

// Denied passes on a denial.
func (r *Redactor) Denied(d Denial) {
	clean := r.replacer.Load().Replace
	for _, s := range []*string{&d.Method, &d.Target, &d.Reason, &d.Fix} {
		*s = clean(*s)
	}
	r.next.Denied(d)
}

// Invoked passes on an invocation.
func (r *Redactor) Invoked(i Invocation) {
	i.Error = r.replacer.Load().Replace(i.Error)
	r.next.Invoked(i)
}
