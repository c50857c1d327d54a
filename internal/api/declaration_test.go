package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

func TestDeclarationsThatCannotBeKept(t *testing.T) {
	for name, text := range map[string]string{
		"a schedule of no function":     `{"function_schedules":[{"name":"x","cron":"@hourly"}]}`,
		"routes with different methods": `{"functions":{"f":"s"},"functions_config":{"f":{"routes":[{"pattern":"/a","methods":["GET"]},{"pattern":"/b"}]}}}`,
	} {
		var in wire.Declaration
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			t.Fatal(err)
		}
		if _, err := declaration(in); weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDeclaration: whatever a client declares is read or refused, and every function that it names is there.
func FuzzDeclaration(f *testing.F) {
	f.Add([]byte(`{"files":{"a":"b"},"functions":{"__proto__":"s"},"function_schedules":[{"name":"__proto__","cron":"* * * * *"}]}`))
	f.Add([]byte(`{"functions":{"f":"s"},"functions_config":{"f":{"routes":[{"pattern":"/a"}],"traffic_rules":{"action":{"config":null}}},"g":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var in wire.Declaration
		if json.Unmarshal(b, &in) != nil {
			return
		}
		d, err := declaration(in)
		if err != nil && weir.ErrorCode(err) != weir.Invalid {
			t.Error(err)
		}
		if err == nil && len(d.Functions) != len(in.Functions) {
			t.Errorf("%d functions of %d", len(d.Functions), len(in.Functions))
		}
	})
}

// TestLargeBodies: nobody's bodies use up the server's memory, and nobody's keep others from deploying.
func TestLargeBodies(t *testing.T) {
	w := newWorld(t)
	large := `{"environment":[` + strings.Repeat("{},", maxMarks/2) + `{}]}`
	d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
	declare := func(role, body string, want int) {
		t.Helper()
		if rec := w.ask(role, "PUT", "/sites/shop/deploys/"+d.ID, body); rec.Code != want {
			t.Errorf("got %d %.200s", rec.Code, rec.Body)
		}
	}
	declare("developer", large, 413)
	large = `{"title":"` + strings.Repeat("a", maxBody) + `"}`
	for range 2 * largeEach { // each gives its place back
		declare("developer", large, 200)
	}
	for range largeEach {
		w.api.bodies.begin("developer")
	}
	declare("developer", large, 429)
	declare("developer", "{}", 200)
	declare("owner", large, 200)
}
