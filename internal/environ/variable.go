package environ

// What a variable is, and which of them are refused. The words are those of Netlify's API.

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// Variable is a variable of a site, or of all sites.
type Variable struct {
	Site    string    `json:"site,omitempty"` // id; "": it is of all sites
	Key     string    `json:"key"`
	Values  []Value   `json:"values"` // one for each context, the most specific first
	Scopes  []string  `json:"scopes"` // of Scopes; in what is set, none means all
	Secret  bool      `json:"secret,omitempty"`
	Updated time.Time `json:"updated"`
	Author  string    `json:"author"` // who updated it
}

// Value is the value of a variable in one context.
type Value struct {
	Context string `json:"context"`          // of Contexts
	Branch  string `json:"branch,omitempty"` // of the context Branch, in lower case
	Value   string `json:"value"`            // of a secret, "" in what is given back; in what is set, "" keeps the one that is there
}

// The contexts that are none of a deploy.
const (
	All    = "all"    // every context that has no value of its own
	Branch = "branch" // the one branch that is named, before all others
)

// Contexts are the contexts that a value can be for, the most specific first.
var Contexts = []string{Branch, weir.ContextProduction, weir.ContextPreview, weir.ContextBranch, weir.ContextDev, All}

// Scopes are what a variable can be for.
var Scopes = []string{"builds", "functions", "runtime", "post_processing"}

// The bounds.
const (
	MaxVariables = 1000     // of a site, of a deploy, and of all sites
	MaxValue     = 64 << 10 // bytes
	maxKey       = 256      // bytes
	maxBranch    = 255      // bytes
	maxTotal     = 256 << 10
	MaxPlace     = 4 << 20 // bytes of all variables of a site, of all sites, or of a deploy, as they are kept
	maxValues    = 100
)

// isName is the form of a variable's name (POSIX.1-2024, base definitions, 8.1).
var isName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkKey refuses what is no name of a variable, and repeats none of it: people write the value there, too.
func checkKey(key string) error {
	if len(key) > maxKey || !isName.MatchString(key) {
		return invalid("that is not the name of a variable", fmt.Sprintf("a name has letters, digits and _, no digit in front, and at most %d bytes", maxKey))
	}
	return nil
}

// inert are reserved names that steer no process: both say which version of Node.js is wanted, where a site is built
// and where its functions run. Policies refuse them like the others, so no function sees them.
var inert = []string{"NODE_VERSION", "AWS_LAMBDA_JS_RUNTIME"}

// checkReserved refuses for functions the names that their policies refuse, because they steer a process. For a
// build they do no more than what is built.
func (v *Variable) checkReserved() error {
	if slices.Contains(inert, v.Key) || !slices.Contains(v.Scopes, "functions") && !slices.Contains(v.Scopes, "runtime") {
		return nil
	}
	if policy.Check(policy.Rule{Kind: policy.Env, Pattern: v.Key}) != nil {
		return &weir.Error{Code: weir.Invalid, Message: v.Key + " is reserved: it steers the process of a function or is set by the platform",
			Remedy: "give it another name, or only the scopes builds and post_processing if it is meant for the build"}
	}
	return nil
}

// checkValue refuses what no process can get, and writes the branch in lower case, as Netlify's clients do.
func (v *Value) check(key string) error {
	v.Branch = strings.ToLower(v.Branch)
	switch {
	case !slices.Contains(Contexts, v.Context):
		return invalid(fmt.Sprintf("%s: there is no context %.40q", key, v.Context), "contexts are "+strings.Join(Contexts[1:], ", ")+" and branch:NAME")
	case (v.Context == Branch) != (v.Branch != ""):
		return invalid(key+": a branch is named for the context branch, and for no other", "name one, or another context")
	case len(v.Branch) > maxBranch || weir.Printable(v.Branch) != v.Branch || slices.Contains(Contexts, v.Branch):
		return invalid(key+": that can't be the name of a branch", "name a branch as it is deployed")
	case len(v.Value) > MaxValue:
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("the value of %s has %d bytes, and at most %d fit", key, len(v.Value), MaxValue),
			Remedy: "put what is long into a file of the function"}
	case !utf8.ValidString(v.Value) || strings.Contains(v.Value, "\x00"):
		return invalid("the value of "+key+" is no text", "encode it, as base64 for example")
	}
	return nil
}

// check refuses what can't be a variable, and brings the rest into one form.
func (v *Variable) check() error {
	if err := checkKey(v.Key); err != nil {
		return err
	}
	if len(v.Scopes) == 0 {
		v.Scopes = Scopes
	}
	for _, s := range v.Scopes {
		if !slices.Contains(Scopes, s) {
			return invalid(fmt.Sprintf("%s: there is no scope %.40q", v.Key, s), "scopes are "+strings.Join(Scopes, ", "))
		}
	}
	if err := v.checkReserved(); err != nil {
		return err
	}
	if len(v.Values) > maxValues {
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("%s has more than %d values", v.Key, maxValues), Remedy: "leave out those of branches that are gone"}
	}
	total := 0
	for i := range v.Values {
		if err := v.Values[i].check(v.Key); err != nil {
			return err
		}
		total += len(v.Values[i].Value)
	}
	if total > maxTotal {
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("the values of %s have %d bytes together, and at most %d fit", v.Key, total, maxTotal),
			Remedy: "put what is long into a file of the function"}
	}
	slices.SortStableFunc(v.Values, func(a, b Value) int {
		return cmp.Or(cmp.Compare(slices.Index(Contexts, a.Context), slices.Index(Contexts, b.Context)), cmp.Compare(a.Branch, b.Branch))
	})
	for i := range v.Values[min(1, len(v.Values)):] {
		if v.Values[i].sameContext(v.Values[i+1]) {
			return invalid(v.Key+" has two values for one context", "give one for each")
		}
	}
	return nil
}

func (v Value) sameContext(w Value) bool { return v.Context == w.Context && v.Branch == w.Branch }

// at gives where in Values the value for a context is, -1 if there is none.
func (v *Variable) at(w Value) int { return slices.IndexFunc(v.Values, w.sameContext) }

// in gives the value for a context and a branch ("": none): that of the branch, else of the context, else of all.
func (v *Variable) in(context, branch string) (string, bool) {
	for _, w := range []Value{{Context: Branch, Branch: strings.ToLower(branch)}, {Context: context}, {Context: All}} {
		if i := v.at(w); i >= 0 {
			return v.Values[i].Value, true
		}
	}
	return "", false
}

// masked gives it without the values of a secret.
func (v Variable) masked() Variable {
	if v.Secret {
		v.Values = slices.Clone(v.Values)
		for i := range v.Values {
			v.Values[i].Value = ""
		}
	}
	return v
}

func invalid(message, remedy string) error {
	return &weir.Error{Code: weir.Invalid, Message: message, Remedy: remedy}
}
