package api

// The document of the API (OpenAPI 3.1), made of the table of routes and the types of package wire.

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/api/wire"
)

// object is a JSON object.
type object = map[string]any

// document gives the document as JSON.
func document(routes []route, version string) ([]byte, error) {
	s := schemas{}
	failure := object{"description": "what is wrong", "content": jsonOf(s.of(reflect.TypeFor[wire.Error]()))}
	paths := object{}
	for _, r := range routes {
		path := strings.ReplaceAll(r.path, "...}", "}")
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[strings.ToLower(r.method)] = s.operation(r, failure)
	}
	return json.Marshal(object{
		"openapi":    "3.1.0",
		"info":       object{"title": "Weir", "version": version, "description": "Netlify's calls that Weir answers, and below /weir its own."},
		"servers":    []object{{"url": Prefix}},
		"security":   []object{{"token": []string{}}},
		"paths":      paths,
		"components": object{"schemas": s, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
	})
}

var parameter = regexp.MustCompile(`\{(\w+)(\.\.\.)?\}`)

func (s schemas) operation(r route, failure object) object {
	o := object{"operationId": r.id, "summary": r.about}
	if r.scope == open {
		o["security"] = []object{}
	} else if r.right != "" {
		o["description"] = "Needs the right " + string(r.right) + "."
	}
	params := []object{}
	for _, m := range parameter.FindAllStringSubmatch(r.path, -1) {
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, q := range r.query {
		params = append(params, object{"name": q, "in": "query", "schema": object{"type": "string"}})
	}
	if len(params) > 0 {
		o["parameters"] = params
	}
	if r.in != nil {
		o["requestBody"] = object{"content": s.content(r.in)}
	}
	code, answer := "200", object{"description": "done"}
	switch {
	case r.out == nil:
		code = "204"
	case r.created:
		code = "201"
	}
	if r.out != nil {
		answer["content"] = s.content(r.out)
	}
	o["responses"] = object{code: answer, "default": failure}
	return o
}

// content gives the media type and schema of a body.
func (s schemas) content(v any) object {
	switch v := v.(type) {
	case octets:
		return object{"application/octet-stream": object{}}
	case text:
		return object{string(v): object{}}
	}
	return jsonOf(s.of(reflect.TypeOf(v)))
}

func jsonOf(schema object) object { return object{"application/json": object{"schema": schema}} }

// text is a body of that media type, which is not JSON.
type text string

// schemas are the named ones, by the names of their types.
type schemas map[string]object

var moment, raw = reflect.TypeFor[time.Time](), reflect.TypeFor[json.RawMessage]()

// of gives the schema of a type of package wire: structs by reference.
func (s schemas) of(t reflect.Type) object {
	switch {
	case t == moment:
		return object{"type": "string", "format": "date-time"}
	case t == raw:
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		if t.Name() == "" {
			return object{"type": "object", "properties": s.properties(t)}
		}
		if _, known := s[t.Name()]; !known {
			s[t.Name()] = object{} // first, so that a type may hold itself
			s[t.Name()] = object{"type": "object", "properties": s.properties(t)}
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	panic("a type that no schema is known for: " + t.String()) // a new one in package wire: every start of a test finds it
}

func (s schemas) properties(t reflect.Type) object {
	out := object{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			maps.Copy(out, s.properties(f.Type))
			continue
		}
		out[name] = s.of(f.Type)
	}
	return out
}
