package runtime

// Every form of a handler that docs/functions.md shows, executed as it stands there.

import (
	"encoding/json"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// answer is what a client gets to see.
type answer struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              string              `json:"body"`
}

// answerOf reads a result to its end.
func answerOf(t *testing.T, res weir.Result) (a answer, streamed bool) {
	t.Helper()
	payload := res.Payload
	if res.Stream != nil {
		payload = res.Stream.Head
	}
	if res.Error != nil {
		t.Fatalf("the function threw %v", res.Error)
	}
	if err := json.Unmarshal(payload, &a); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	if res.Stream != nil {
		body, err := io.ReadAll(res.Stream.Body)
		if err != nil {
			t.Fatal(err)
		}
		res.Stream.Body.Close()
		a.Body = string(body)
	}
	return a, res.Stream != nil
}

// run runs one invocation until nothing of it goes on.
func (p *process) run(t *testing.T, inv weir.Invocation) (answer, bool) {
	t.Helper()
	over := make(chan struct{})
	res, done, err := p.Invoke(inv, time.Now().Add(10*time.Second), func() { close(over) })
	if err != nil {
		t.Fatal(err)
	}
	a, streamed := answerOf(t, res)
	if !done {
		<-over
	}
	return a, streamed
}

func TestFormsOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/functions.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		form   weir.Form
		body   string
		cookie string
	}{
		"hello.mjs":     {weir.FormV2, "Hello Ada from weir", "seen=yes"},
		"countdown.mjs": {weir.FormV2, "data: 3\n\ndata: 2\n\ndata: 1\n\n", ""},
		"greet.js":      {weir.FormV1, "POST /x", ""},
		"drip.mjs":      {weir.FormStream, "drip drop", ""},
	}
	blocks := regexp.MustCompile("(?s)```js\n// (\\S+)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	scheduled := []string{"nightly.mjs", "hourly.js"} // nobody is answered by them: internal/build reads their schedules
	if len(blocks) != len(want)+len(scheduled) {
		t.Fatalf("the page shows %d functions, want %d", len(blocks), len(want)+len(scheduled))
	}
	for _, b := range blocks {
		if slices.Contains(scheduled, b[1]) {
			continue
		}
		t.Run(b[1], func(t *testing.T) {
			p, err := startFile(t, b[1], "process.env.SITE_NAME = 'weir';\n"+b[2])
			if err != nil {
				t.Fatal(err)
			}
			event := `{"rawUrl":"http://site.test/x","path":"/x","httpMethod":"POST","headers":{"content-type":"application/json"},"body":"{\"name\":\"Ada\"}","isBase64Encoded":false}`
			a, _ := p.run(t, weir.Invocation{ID: "id", Function: "fn", Event: json.RawMessage(event)})
			if w := want[b[1]]; p.form != w.form || a.StatusCode != 200 || a.Body != w.body || strings.Join(a.MultiValueHeaders["set-cookie"], "|") != w.cookie {
				t.Errorf("form %q: %+v", p.form, a)
			}
			if !p.Clean() {
				t.Error("the process is not clean")
			}
		})
	}
}
