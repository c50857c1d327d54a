package tomlpolicy

// The schema that editors complete from says the same as the parser.

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

const schemaFile = "../../../schema/weir.toml.schema.json"

// schema is a JSON Schema (draft 7) that uses only what validate knows.
type schema struct {
	root     map[string]any
	patterns map[string]*regexp.Regexp // compiled so far
}

func loadSchema(t testing.TB) *schema {
	t.Helper()
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	s := &schema{patterns: map[string]*regexp.Regexp{}}
	if err := json.Unmarshal(data, &s.root); err != nil {
		t.Fatal(err)
	}
	return s
}

// definition gives the schema of a name under "definitions".
func (s *schema) definition(name string) map[string]any {
	return s.root["definitions"].(map[string]any)[name].(map[string]any)
}

// properties gives the names of an object's properties, sorted.
func properties(object map[string]any) []string {
	return slices.Sorted(maps.Keys(object["properties"].(map[string]any)))
}

// validate says what is wrong with a value, "" if nothing is. A keyword that it does not know is
// wrong, too: nothing of the schema goes unheeded.
func (s *schema) validate(rule map[string]any, v any) string {
	for keyword, arg := range rule {
		if why := s.keyword(keyword, arg, rule, v); why != "" {
			return why
		}
	}
	return ""
}

func (s *schema) keyword(keyword string, arg any, rule map[string]any, v any) string {
	object, isObject := v.(map[string]any)
	list, isList := v.([]any)
	text, isText := v.(string)
	number, isNumber := toNumber(v)
	wrong := func(ok bool) string {
		if ok {
			return ""
		}
		return fmt.Sprintf("%v: %s %v", v, keyword, arg)
	}
	switch keyword {
	case "$schema", "$comment", "title", "description", "examples", "default", "definitions":
	case "$ref":
		return s.validate(s.definition(strings.TrimPrefix(arg.(string), "#/definitions/")), v)
	case "type":
		_, isWhole := v.(int64)
		_, isBool := v.(bool)
		return wrong(map[string]bool{"object": isObject, "array": isList, "string": isText, "number": isNumber, "integer": isWhole, "boolean": isBool}[arg.(string)])
	case "enum":
		return wrong(slices.Contains(arg.([]any), v))
	case "pattern":
		return wrong(!isText || s.pattern(arg.(string)).MatchString(text))
	case "minimum":
		return wrong(!isNumber || number >= arg.(float64))
	case "maximum":
		return wrong(!isNumber || number <= arg.(float64))
	case "minItems":
		return wrong(!isList || len(list) >= int(arg.(float64)))
	case "minProperties":
		return wrong(!isObject || len(object) >= int(arg.(float64)))
	case "not":
		return wrong(s.validate(arg.(map[string]any), v) != "")
	case "maxProperties":
		return wrong(!isObject || len(object) <= int(arg.(float64)))
	case "items":
		return all(slices.Values(list), func(item any) string { return s.validate(arg.(map[string]any), item) })
	case "anyOf", "allOf":
		failed := 0
		for _, choice := range arg.([]any) {
			if s.validate(choice.(map[string]any), v) != "" {
				failed++
			}
		}
		return wrong(failed == 0 || keyword == "anyOf" && failed < len(arg.([]any)))
	default:
		return s.objectKeyword(keyword, arg, rule, object)
	}
	return ""
}

func (s *schema) pattern(p string) *regexp.Regexp {
	if s.patterns[p] == nil {
		s.patterns[p] = regexp.MustCompile(p)
	}
	return s.patterns[p]
}

func (s *schema) objectKeyword(keyword string, arg any, rule, object map[string]any) string {
	known, _ := rule["properties"].(map[string]any)
	switch keyword {
	case "properties":
		return all(maps.Keys(object), func(key any) string {
			if p, ok := known[key.(string)].(map[string]any); ok {
				return s.validate(p, object[key.(string)])
			}
			return ""
		})
	case "additionalProperties":
		return all(maps.Keys(object), func(key any) string {
			if _, ok := known[key.(string)]; ok {
				return ""
			}
			if more, ok := arg.(map[string]any); ok {
				return s.validate(more, object[key.(string)])
			}
			return fmt.Sprintf("unknown key %s", key)
		})
	case "propertyNames":
		return all(maps.Keys(object), func(key any) string { return s.validate(arg.(map[string]any), key) })
	case "required":
		return s.has(object, arg)
	case "dependencies":
		for key, needs := range arg.(map[string]any) {
			if why := s.has(object, needs); object[key] != nil && why != "" {
				return why
			}
		}
		return ""
	}
	return "unknown keyword " + keyword
}

func (s *schema) has(object map[string]any, keys any) string {
	for _, key := range keys.([]any) {
		if object != nil && object[key.(string)] == nil {
			return fmt.Sprintf("%v is missing", key)
		}
	}
	return ""
}

// all gives the first complaint about any of the values.
func all[T any](values func(func(T) bool), check func(any) string) (why string) {
	values(func(v T) bool {
		why = check(v)
		return why == ""
	})
	return why
}

func toNumber(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// A key that one of the two does not know is a key that an editor proposes in vain, or marks as wrong.
func TestSchemaKeys(t *testing.T) {
	s := loadSchema(t)
	for place, c := range map[string]struct {
		object map[string]any
		keys   []string
	}{
		"the top":    {s.root, rootKeys},
		"a function": {s.definition("function"), sectionKeys},
		"a rule":     {s.definition("httpTable"), ruleKeys},
		"limits":     {s.definition("limits"), limitKeys},
		"a package":  {s.definition("package"), packageKeys},
	} {
		if got := properties(c.object); !slices.Equal(got, slices.Sorted(slices.Values(c.keys))) {
			t.Errorf("%s: the schema has %q, the parser %q", place, got, c.keys)
		}
		if c.object["additionalProperties"] != false {
			t.Errorf("%s: further keys are allowed", place)
		}
	}
	// The parser's lists are not only for messages: it takes each of their keys, and no other.
	for format, keys := range map[string][]string{
		"%s = 1\n": rootKeys, "[functions.a]\n%s = 1\n": sectionKeys, "[functions.a.packages.b]\n%s = 1\n": packageKeys,
		"[functions.a.limits]\n%s = 1\n": limitKeys, "[functions.a]\nhttp = [{ allow = 1, %s = 1 }]\n": ruleKeys[1:],
	} {
		for _, key := range append([]string{"other"}, keys...) {
			_, err := Parse("weir.toml", fmt.Appendf(nil, format, key))
			if unknown := strings.Contains(fmt.Sprint(err), "unknown key"); unknown != (key == "other") {
				t.Errorf("%q: %v", fmt.Sprintf(format, key), err)
			}
		}
	}
}

// words gives the values of an "enum".
func words(rule map[string]any) (out []string) {
	for _, v := range rule["enum"].([]any) {
		out = append(out, v.(string))
	}
	return out
}

func TestSchemaValues(t *testing.T) {
	s := loadSchema(t)
	function := s.definition("function")["properties"].(map[string]any)
	rule := s.definition("httpTable")["properties"].(map[string]any)
	for name, c := range map[string][2][]string{
		"mode":      {words(s.definition("mode")), modeNames},
		"per":       {words(rule["per"].(map[string]any)), perNames},
		"runtime":   {words(function["runtime"].(map[string]any)), runtimes},
		"isolation": {words(function["isolation"].(map[string]any)), isolations},
	} {
		if !slices.Equal(c[0], c[1]) {
			t.Errorf("%s: the schema has %q, the parser %q", name, c[0], c[1])
		}
	}
	limits := s.definition("limits")["properties"].(map[string]any)
	for key, l := range counts {
		if p := limits[key].(map[string]any); p["minimum"] != float64(l.min) || p["maximum"] != float64(l.max) {
			t.Errorf("%s: %v", key, p)
		}
	}
	for key, l := range sizes {
		want := fmt.Sprintf("from %s to %s.", policy.Size(l.min), policy.Size(l.max))
		if d := limits[key].(map[string]any)["description"].(string); !strings.HasSuffix(d, want) {
			t.Errorf("%s: the schema says %q, want %q", key, d, want)
		}
	}
	for n := range uint16(300) {
		pattern := policy.DNSType(n) + " example.com"
		taken := policy.Check(policy.Rule{Kind: policy.DNS, Pattern: pattern}) == nil
		if why := s.validate(s.definition("question"), pattern); taken != (why == "") {
			t.Errorf("%s: taken %v, by the schema %q", pattern, taken, why)
		}
	}
}

// What the schema shows as examples is taken by the parser, too.
func TestSchemaExamples(t *testing.T) {
	s := loadSchema(t)
	seen := 0
	var walk func(path string, v any)
	walk = func(path string, v any) {
		rule, ok := v.(map[string]any)
		if !ok {
			return
		}
		examples, _ := rule["examples"].([]any)
		for _, x := range examples {
			seen++
			if why := s.validate(rule, whole(x)); why != "" {
				t.Errorf("%s: its own example is not valid: %s", path, why)
			}
			kind, isRule := map[string]policy.Kind{"hostPort": policy.UDP, "question": policy.DNS, "path": policy.Read, "program": policy.Exec, "variable": policy.Env}[path]
			if !isRule && path != "httpText" {
				continue
			}
			r := policy.Rule{Kind: kind, Pattern: x.(string)}
			if path == "httpText" {
				r = urlRule(x.(string), weir.Position{})
			}
			if err := policy.Check(r); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		for key, child := range rule {
			if key != "examples" {
				walk(key, child)
			}
		}
	}
	walk("", s.root)
	if seen < 30 {
		t.Errorf("only %d examples", seen)
	}
}

// whole makes the numbers of JSON what TOML would have made of them.
func whole(v any) any {
	switch x := v.(type) {
	case float64:
		if x == float64(int64(x)) {
			return int64(x)
		}
	case map[string]any:
		for k := range x {
			x[k] = whole(x[k])
		}
	}
	return v
}

// beyond are the bad files whose faults a schema can't express: names that only together are wrong.
var beyond = []string{"tie.toml"}

func TestSchemaFiles(t *testing.T) {
	s := loadSchema(t)
	refused := 0
	for _, pattern := range []string{"testdata/good/*.toml", "testdata/bad/*.toml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v map[string]any
			if toml.Unmarshal(data, &v) != nil {
				continue // not even TOML
			}
			why := s.validate(s.root, v)
			valid := strings.Contains(pattern, "good") || slices.Contains(beyond, filepath.Base(file))
			switch {
			case valid && why != "":
				t.Errorf("%s is not valid: %s", file, why)
			case !valid && why == "":
				t.Errorf("%s is valid", file)
			case !valid:
				refused++
			}
		}
	}
	if refused < 10 {
		t.Errorf("only %d files are refused", refused)
	}
}
