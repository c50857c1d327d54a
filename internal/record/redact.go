package record

// Records must hold no secret, and hostile code chooses the URLs and paths that stand in them: what
// equals a value of the site's variables is taken out before anything is written.

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// minSecret is the length, in bytes, from which a value is taken for a secret: a shorter one stands
// in ordinary texts by chance.
const minSecret = 8

// Redactor passes records on without the values of variables, whatever their case, percent-encoded or
// not, and cut off at the end of a text or not. It does not know a value in another disguise (in
// base64, in two parts). It is safe for concurrent use.
type Redactor struct {
	next    Recorder
	secrets atomic.Pointer[secrets]
	setting sync.Mutex // held by SetValues
}

// secrets are the values to take out, the longest first, and which bytes one can begin with, in a
// text: looking each byte up is what every recorded call pays for.
type secrets struct {
	values []secret
	begins [256]bool
}

type secret struct{ name, value string } // the value in lower case

// NewRedactor makes a Redactor that knows no values yet.
func NewRedactor(next Recorder) *Redactor {
	r := &Redactor{next: next}
	r.secrets.Store(&secrets{})
	return r
}

// SetValues gives the variables whose values are taken out from now on, by their names. Those that it was
// given before are taken out, too, as long as the Redactor lives: instances that still run, and what they
// sent elsewhere, know them. Values that are URLs without a user, or hosts, are no secrets: they say where
// calls go, which records are about.
func (r *Redactor) SetValues(env map[string]string) {
	r.setting.Lock()
	defer r.setting.Unlock()
	names := map[string]string{} // by value
	for _, s := range r.secrets.Load().values {
		names[s.value] = s.name
	}
	for name, value := range env {
		if len(value) >= minSecret && !namesHost(value) {
			names[lower(value)] = name
		}
	}
	var known secrets
	for value, name := range names {
		known.values = append(known.values, secret{name, value})
		known.begins['%'], known.begins[value[0]], known.begins[upperByte(value[0])] = true, true, true
	}
	// The longest first: one value may be the beginning of another.
	slices.SortFunc(known.values, func(a, b secret) int {
		if n := len(b.value) - len(a.value); n != 0 {
			return n
		}
		return strings.Compare(a.name, b.name)
	})
	r.secrets.Store(&known)
}

// namesHost tells whether a value is a URL without a user or a host, perhaps with its port, as people
// write it: lower case, a word at the end, no label so long that it could be a key.
func namesHost(value string) bool {
	if strings.Contains(value, "://") {
		return !strings.Contains(value, "@")
	}
	host, port, _ := strings.Cut(value, ":")
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	if len(labels) < 2 || len(last) < 2 || strings.Trim(last, "abcdefghijklmnopqrstuvwxyz") != "" || strings.Trim(port, "0123456789") != "" {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 24 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// Decided passes on a decision.
func (r *Redactor) Decided(d Decision) {
	for _, s := range d.texts() {
		*s = r.clean(*s)
	}
	r.next.Decided(d)
}

// Invoked passes on an invocation.
func (r *Redactor) Invoked(i Invocation) {
	i.Error = r.clean(i.Error)
	r.next.Invoked(i)
}

// Text gives a text without the values.
func (r *Redactor) Text(text string) string { return r.clean(text) }

// clean takes the values out of a text.
func (r *Redactor) clean(text string) string {
	known := r.secrets.Load()
	if len(known.values) == 0 || len(text) < minSecret {
		return text
	}
	var out strings.Builder
	from := 0
	for i := 0; i < len(text); {
		if !known.begins[text[i]] {
			i++
			continue
		}
		name, n := find(text[i:], known.values)
		if n == 0 {
			i++
			continue
		}
		out.WriteString(text[from:i])
		out.WriteString("[" + name + "]")
		i += n
		from = i
	}
	if from == 0 {
		return text
	}
	out.WriteString(text[from:])
	return out.String()
}

// find gives the name of the value that text begins with, and how much of text that is. A whole value
// goes before one that was cut.
func find(text string, secrets []secret) (name string, n int) {
	for _, s := range secrets {
		m, whole := match(text, s.value)
		if whole {
			return s.name, m
		}
		if m > 0 && n == 0 {
			name, n = s.name, m
		}
	}
	return name, n
}

// match gives how much of the beginning of text is the value, 0 if it isn't. Where a text was cut,
// as its end or dots there say, the beginning of the value counts.
func match(text, value string) (n int, whole bool) {
	at := 0
	for i := range len(value) {
		if rest := text[at:]; rest == "" || rest == "..." || strings.HasPrefix(rest, "…") {
			if i < minSecret {
				return 0, false
			}
			return at, false
		}
		c, n := text[at], 1
		if c == '%' && at+2 < len(text) {
			if hi, lo := unhex(text[at+1]), unhex(text[at+2]); hi >= 0 && lo >= 0 {
				c, n = byte(hi<<4|lo), 3
			}
		}
		if lowerByte(c) != value[i] {
			return 0, false
		}
		at += n
	}
	return at, true
}

func unhex(c byte) int {
	switch c = lowerByte(c); {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// lower changes letters of ASCII only, so that lengths stay.
func lower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lowerByte(b[i])
	}
	return string(b)
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func upperByte(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}
