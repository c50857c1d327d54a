// This file exists because a bootstrap file is part of the site's source, and the site's variables hold
// its secrets: it sees a few harmless ones, and is told when it asks for others.

package intrinsic

import (
	"regexp"
	"slices"

	"github.com/dop251/goja"
)

// maxValue bounds the value of a variable that a bootstrap file sees, in bytes.
const maxValue = 256

// Visible gives the variables that a bootstrap file sees of those of its site.
func Visible(env map[string]string) map[string]string {
	out := map[string]string{"LAMBDA_TASK_ROOT": taskDir}
	for _, name := range Variables {
		if v, ok := env[name]; ok && len(v) <= maxValue {
			out[name] = v
		}
	}
	return out
}

// environ is process.env.
type environ struct {
	e      *evaluator
	values map[string]goja.Value
}

func (e *evaluator) environ(env map[string]string) *goja.Object {
	v := &environ{e, map[string]goja.Value{}}
	for name, value := range env {
		v.values[name] = e.vm.ToValue(value)
	}
	return e.vm.NewDynamicObject(v)
}

var variable = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// Get gives a variable. To ask for one that is never seen here is worth a warning: the policy may
// come out other than meant.
func (v *environ) Get(name string) goja.Value {
	value := v.values[name]
	if value == nil && variable.MatchString(name) && !slices.Contains(Variables, name) {
		v.e.warn(v.e.here(), "write the value itself", "process.env.%s is not seen by a bootstrap file", clip(name))
	}
	return value
}

// Set sets a variable, as a script may, for itself.
func (v *environ) Set(name string, value goja.Value) bool {
	v.values[name] = v.e.vm.ToValue(value.String())
	return true
}

// Has, Delete and Keys complete goja.DynamicObject.
func (v *environ) Has(name string) bool { return v.values[name] != nil }

// Delete removes a variable.
func (v *environ) Delete(name string) bool {
	delete(v.values, name)
	return true
}

// Keys gives the names of the variables, sorted.
func (v *environ) Keys() []string { return sorted(v.values) }
