package gateway

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// TestRefusalsAreLogged: whatever a client gets that is not the function's own answer leaves one line in the log,
// which says to which request.
func TestRefusalsAreLogged(t *testing.T) {
	const function = "/.netlify/functions/fn"
	code := func(c weir.Code) *functions { return failing(&weir.Error{Code: c, Message: "on purpose"}) }
	small := func(f *functions) *functions { f.limits.Request, f.limits.Response = 10, 10; return f }
	large := strings.Repeat("x", 100)
	for name, c := range map[string]struct {
		f      *functions
		r      *http.Request
		status int
	}{
		"query":          {giving(`1`), request("GET", function+"?%zz", ""), 400},
		"no function":    {giving(`1`), request("GET", "/.netlify/functions/other", ""), 404},
		"no default URL": {giving(`1`), request("GET", "/.netlify/functions/routed", ""), 404},
		"method":         {giving(`1`), request("PUT", "/routed", ""), 405},
		"large request":  {small(giving(`1`)), request("POST", function, large), 413},
		"host":           {giving(`1`), request("GET", "http://evil.test"+function, ""), 421},
		"busy":           {code(weir.Busy), request("GET", function, ""), 429},
		"fault":          {code(weir.Internal), request("GET", function, ""), 500},
		"thrown":         {throwing(&weir.FunctionError{Type: "Error"}), request("GET", function, ""), 500},
		"nonsense":       {giving(`1`), request("GET", function, ""), 502},
		"large answer":   {small(giving(`{"statusCode":200,"body":"` + large + `"}`)), request("GET", function, ""), 502},
		"crashed":        {code(weir.Crashed), request("GET", function, ""), 502},
		"broken":         {code(weir.Broken), request("GET", function, ""), 502},
		"full":           {code(weir.Unavailable), request("GET", function, ""), 503},
		"no wall":        {code(weir.NoWall), request("GET", function, ""), 503},
		"timed out":      {code(weir.TimedOut), request("GET", function, ""), 504},

		"API: event":         {giving(`1`), request("POST", invocations, "{"), 400},
		"API: type":          {giving(`1`), request("POST", invocations, "", "X-Amz-Invocation-Type: Other"), 400},
		"API: other origin":  {giving(`1`), request("POST", invocations, "", "Origin: http://evil.test"), 403},
		"API: no function":   {giving(`1`), request("POST", strings.Replace(invocations, "fn", "other", 1), ""), 404},
		"API: no call":       {giving(`1`), request("POST", lambdaPath+"fn", ""), 404},
		"API: method":        {giving(`1`), request("GET", invocations, ""), 405},
		"API: large request": {small(giving(`1`)), request("POST", invocations, large), 413},
		"API: busy":          {code(weir.Busy), request("POST", invocations, ""), 429},
		"API: full":          {code(weir.Unavailable), request("POST", invocations, ""), 503},
		"API: large answer":  {small(giving(`"` + large + `"`)), request("POST", invocations, ""), 200},
		"API: crashed":       {code(weir.Crashed), request("POST", invocations, ""), 200},
		"API: thrown":        {throwing(&weir.FunctionError{Type: "Error"}), request("POST", invocations, ""), 200},
	} {
		if name == "host" {
			c.r.Host = "evil.test"
		}
		var log bytes.Buffer
		res := ask(c.f, c.r, func(o *Options) {
			o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
			o.Configs = map[string]weir.FunctionConfig{"routed": {Paths: []string{"/routed"}, Methods: []string{"GET"}}}
		})
		var line struct{ Level, Function, Request string }
		if err := json.Unmarshal(log.Bytes(), &line); err != nil || res.StatusCode != c.status { // two lines are no JSON
			t.Errorf("%s: %d %s %v, logged %s", name, res.StatusCode, text(t, res), err, &log)
		}
		id := res.Header.Get("X-Nf-Request-Id") + res.Header.Get("X-Amzn-Requestid")
		if (line.Level == "ERROR") != (c.status == 200 || c.status >= 500) || line.Request != id {
			t.Errorf("%s: %s", name, &log)
		}
	}
}
