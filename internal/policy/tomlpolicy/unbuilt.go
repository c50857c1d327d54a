// This file exists because the language is whole before everything it speaks of is built: those keys
// are checked like the others, and are an error that says so, unless they ask for what is done anyway.

package tomlpolicy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/policy"
)

var ()

// unbuilt checks a key of a section that this version does not act on.
func (r *reader) unbuilt(key string, e *entry) {
	asNow, ok := false, false // whether the value asks for what is done anyway; is valid
	switch key {
	case "secrets":
		var names []*value
		names, ok = r.items(key, e)
		asNow = len(names) == 0
		for _, v := range names {
			ok = r.variable(v) && ok
		}
	case "packages":
		asNow, ok = r.packages(e)
	}
	if ok && !asNow {
		r.later(e.pos, key)
	}
}

// variable wants the name of a variable that a rule may name.
func (r *reader) variable(v *value) bool {
	text, ok := r.text(v, "write the name of a variable in quotes")
	if !ok {
		return false
	}
	err := policy.Check(policy.Rule{Kind: policy.Env, Pattern: text, Pos: v.pos})
	r.take(err)
	return err == nil
}

// packages reads [functions.NAME.packages.PACKAGE]: rules that narrow those of the function.
func (r *reader) packages(e *entry) (none, ok bool) {
	const remedy = "write [functions.NAME.packages.PACKAGE]"
	if e.value.table == nil {
		r.wrong(e.value, "tables", remedy)
		return false, false
	}
	before := len(r.errs)
	for _, name := range e.value.table.keys {
		p := e.value.table.entries[name]
		if !r.packageName(p.value, name) {
			continue
		}
		if p.value.table == nil {
			r.wrong(p.value, "a table", remedy)
			continue
		}
		for _, key := range p.value.table.keys {
			if k := p.value.table.entries[key]; slices.Contains(packageKeys, key) {
				r.list(key, k)
			} else {
				r.unknown(k.pos, key, "in a package", packageKeys)
			}
		}
	}
	return len(e.value.table.keys) == 0, len(r.errs) == before
}

// rulePackages reads the packages that may use a rule.
func (r *reader) rulePackages(e *entry) {
	names, ok := r.items("packages", e)
	if ok && len(names) == 0 {
		r.bad(e.value.pos, "name a package, or remove it: without it the whole function may use the rule", "the list of packages is empty")
		return
	}
	for _, v := range names {
		text, isText := r.text(v, "write the name of a package in quotes")
		ok = isText && r.packageName(v, text) && ok
	}
	if ok {
		r.later(e.pos, "packages")
	}
}

// packageName is a name as npm takes it, old ones with capitals included.
var packageName = regexp.MustCompile(`^(@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*$`)

func (r *reader) packageName(v *value, name string) bool {
	if len(name) <= 214 && packageName.MatchString(name) {
		return true
	}
	remedy := `write a name such as "stripe" or "@aws-sdk/client-s3"`
	if i := strings.LastIndexByte(name, '@'); i > 0 && packageName.MatchString(name[:i]) {
		remedy = fmt.Sprintf("write %q: a package is named without its version", name[:i])
	}
	r.bad(v.pos, remedy, "%q is not the name of a package", name)
	return false
}

// Where a secret may be put: alone, or with a name after a colon.
var (
	placesAlone = []string{"bearer", "basic", "sigv4"}
	placesNamed = []string{"header", "query", "json", "form"}
)

// framing are headers that say where a message ends and who reads it. They are never a secret's place.
var framing = []string{"host", "connection", "content-length", "content-type", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"}

// credential reads as and in, which go together.
func (r *reader) credential(t *table) {
	as, in := t.entries["as"], t.entries["in"]
	if as != nil {
		ok := r.variable(as.value)
		switch {
		case in == nil:
			r.bad(as.pos, `write in = "bearer" beside it, or another place`, `the rule has "as", but no "in" that says where the secret belongs`)
		case ok:
			r.later(as.pos, "as")
		}
	}
	if in != nil {
		text, ok := r.text(in.value, `write in = "bearer"`)
		switch message, remedy := checkPlace(text); {
		case !ok:
		case message != "":
			r.bad(in.value.pos, remedy, "%s", message)
		case as == nil:
			r.bad(in.pos, `write as = "NAME" beside it, with the name of a secret`, `the rule has "in", but no "as" that names the secret`)
		default:
			r.later(in.pos, "in")
		}
	}
}

var (
	headerName  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // a token of RFC 9110, section 5.6.2
	jsonPointer = regexp.MustCompile(`^(/([^~/\x00-\x1f]|~[01])+)+$`) // RFC 6901, without empty names
	paramName   = regexp.MustCompile(`^[^\x00-\x20&=;#]+$`)
)

// checkPlace says what is wrong with the value of "in".
func checkPlace(s string) (message, remedy string) {
	const all = `write "bearer", "basic", "sigv4", "header:NAME", "query:NAME", "form:NAME" or "json:/POINTER"`
	form, name, named := strings.Cut(s, ":")
	lower := strings.ToLower(strings.TrimSpace(form))
	switch {
	case !named && slices.Contains(placesAlone, s):
		return "", ""
	case slices.Contains(placesAlone, lower) && !named:
		return fmt.Sprintf("%q is not a place of a secret", s), fmt.Sprintf("write %q", lower)
	case !slices.Contains(placesNamed, lower):
		if near := policy.Suggest(s, placesAlone); near != "" {
			return fmt.Sprintf("%q is not a place of a secret", s), fmt.Sprintf("did you mean %q?", near)
		}
		return fmt.Sprintf("%q is not a place of a secret", s), all
	case form != lower:
		return fmt.Sprintf("%q is not a place of a secret", s), fmt.Sprintf("write %q", lower+":"+strings.TrimSpace(name))
	}
	switch form {
	case "header":
		if headerName.MatchString(name) && !slices.Contains(framing, strings.ToLower(name)) {
			return "", ""
		}
		return fmt.Sprintf("%q is not a header that a secret can be in", name), `write "header:X-Api-Key", with the name of the header`
	case "json":
		if jsonPointer.MatchString(name) {
			return "", ""
		}
		remedy = `write "json:/auth/key", a JSON pointer (RFC 6901)`
		if jsonPointer.MatchString("/" + name) {
			remedy = fmt.Sprintf("write %q", "json:/"+name)
		}
		return fmt.Sprintf("%q is not a JSON pointer", name), remedy
	}
	if paramName.MatchString(name) {
		return "", ""
	}
	return fmt.Sprintf("%q is not the name of a parameter", name), fmt.Sprintf(`write "%s:api_key", with the name of the parameter`, form)
}
