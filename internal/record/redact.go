package record

// Records must hold no secret, and hostile code chooses the URLs and paths that stand in them: what
// equals a value of the site's variables is taken out before anything is written.

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// minSecret is the length, in bytes, from which a value is taken for a secret: a shorter one stands
// in ordinary texts by chance. minLine is that of a line of one that has several, and maxLines how many of these are
// known, as each takes memory besides its text.
const (
	minSecret = 8
	minLine   = 16
	maxLines  = 10_000
)

// Redactor passes records on without the values of variables, whatever their case, percent-encoded or
// not, and cut off at the end of a text or not; nor their lines. It does not know a value in another disguise
// (in base64, in two parts). It is safe for concurrent use.
type Redactor struct {
	next    Recorder
	secrets atomic.Pointer[secrets]
	setting sync.Mutex // held by SetValues
}

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
	for _, v := range r.secrets.Load().values {
		names[v.value] = v.name
	}
	lines := 0
	for _, name := range slices.Sorted(maps.Keys(env)) {
		note(names, name, env[name], minSecret)
		for line := range strings.Lines(env[name]) { // what is printed comes line by line
			if lines++; lines > maxLines {
				break
			}
			note(names, name, strings.TrimSpace(line), minLine)
		}
	}
	r.secrets.Store(newSecrets(names))
}

// note notes the name of a value that has at least so many bytes.
func note(names map[string]string, name, value string, least int) {
	if len(value) < least || namesHost(value) {
		return
	}
	names[lower(value)] = name
	if plain, err := url.PathUnescape(value); err == nil && len(plain) >= least {
		names[lower(plain)] = name // a text is read as if it were percent-encoded
	}
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
	v := view{text: text}
	for i := 0; i < len(text); {
		if !known.begins[text[i]] {
			i++
			continue
		}
		v.begin(i)
		name, n := known.find(&v)
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
