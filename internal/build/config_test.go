package build

import (
	"reflect"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// TestAnArtifactHoldsWhatSourcesSay: also one that is opened by another process, and another path is another
// artifact.
func TestAnArtifactHoldsWhatSourcesSay(t *testing.T) {
	site := func(path string) string {
		return newSite(t, `-- netlify/functions/api.ts --
export default () => new Response('x');
export const config = { path: '`+path+`', method: 'GET' };
-- netlify/functions/plain.js --
exports.handler = async () => ({ statusCode: 200 });
`)
	}
	state := t.TempDir()
	a, other := build(t, site("/api/:id"), state), build(t, site("/other"), state)
	defer a.Close()
	defer other.Close()
	if a.ID == other.ID {
		t.Error("two paths make one artifact")
	}
	opened, err := openDir(a.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for _, fs := range [][]Function{a.Functions, opened.Functions} {
		var got []weir.FunctionConfig
		for _, f := range fs {
			got = append(got, f.Bundle.Config)
		}
		want := []weir.FunctionConfig{{Form: weir.FormV2, Paths: []string{"/api/:id"}, Methods: []string{"GET"}}, {Form: weir.FormV1}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v", got)
		}
	}
}

func TestConflicts(t *testing.T) {
	f := func(name, path string, methods ...string) Function {
		return Function{Bundle: weir.Bundle{Function: name, Config: weir.FunctionConfig{Paths: []string{path}, Methods: methods}}}
	}
	got := conflicts([]Function{f("a", "/x", "GET"), f("b", "/x", "PUT"), f("c", "/x", "POST", "GET"), f("d", "/y"), f("e", "/y", "GET"), f("f", "/z")})
	want := []string{"c is not reached by GET /x: a has the same path", "e is not reached by GET /y: d has the same path"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
