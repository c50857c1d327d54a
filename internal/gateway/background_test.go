package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestBackground(t *testing.T) {
	config := weir.FunctionConfig{Background: true, Form: weir.FormV2}
	busy := &weir.Error{Code: weir.Busy, Message: "too many wait"}
	for name, c := range map[string]struct {
		request *http.Request
		accept  error
		status  int
		body    string
	}{
		"taken":       {request("POST", "/.netlify/functions/fn?a=1", "text", "Content-Type: text/plain"), nil, 202, ""},
		"too large":   {request("POST", "/.netlify/functions/fn", strings.Repeat("x", 256<<10+1)), nil, 413, "send where it lies"},
		"grows":       {request("POST", "/.netlify/functions/fn", strings.Repeat("\x00", 255<<10)), nil, 413, "send where it lies"},
		"too many":    {request("POST", "/.netlify/functions/fn", ""), busy, 429, "too many wait"},
		"bad request": {request("POST", "/.netlify/functions/fn?a=%zz", ""), nil, 400, "query string"},
		"no function": {request("POST", "/.netlify/functions/other", ""), nil, 404, "no function"},
	} {
		f := giving(`{}`)
		var got []weir.Invocation
		res := ask(f, c.request, func(o *Options) {
			o.Configs = map[string]weir.FunctionConfig{"fn": config, "other": config}
			o.Accept = func(_ context.Context, inv weir.Invocation) error { got = append(got, inv); return c.accept }
		})
		if body := text(t, res); res.StatusCode != c.status || !strings.Contains(body, c.body) || c.status == 202 && body != "" {
			t.Errorf("%s: %d %q", name, res.StatusCode, body)
		}
		if len(f.got) > 0 {
			t.Errorf("%s: the caller waits for the function", name)
		}
		if name != "taken" {
			continue
		}
		var event struct{ Body, RawQuery string }
		if len(got) != 1 || got[0].Function != "fn" || got[0].ID != res.Header.Get("X-Nf-Request-Id") || json.Unmarshal(got[0].Event, &event) != nil || event.Body != "text" || event.RawQuery != "a=1" {
			t.Errorf("%+v", got)
		}
	}
	res := ask(giving(`{}`), request("GET", "/.netlify/functions/fn", ""), func(o *Options) { o.Configs = map[string]weir.FunctionConfig{"fn": config} })
	if res.StatusCode != 503 {
		t.Errorf("without anybody who takes it: %d", res.StatusCode)
	}
}

// TestAsynchronousInvocations: the Invoke API takes events that nobody waits for, for any function.
func TestAsynchronousInvocations(t *testing.T) {
	for event, want := range map[string]int{`{"a":1}`: 202, `"` + strings.Repeat("x", 256<<10) + `"`: 413} {
		f, taken := giving(`{}`), 0
		res := ask(f, request("POST", lambdaPath+"fn/invocations", event, "X-Amz-Invocation-Type: Event"), func(o *Options) {
			o.Accept = func(_ context.Context, inv weir.Invocation) error {
				if taken++; string(inv.Event) != event {
					t.Errorf("%.100s", inv.Event)
				}
				return nil
			}
		})
		if body := text(t, res); res.StatusCode != want || len(f.got) > 0 || (want == 202) != (taken == 1) || want == 202 && body != "" {
			t.Errorf("%.20s: %d %s, taken %d times", event, res.StatusCode, body, taken)
		}
	}
}

// TestNobodyPosesAsNetlify: the headers by which Netlify itself calls a function never come from outside.
func TestNobodyPosesAsNetlify(t *testing.T) {
	for _, config := range []weir.FunctionConfig{{}, {Background: true}, {Schedule: "@daily"}} {
		f := giving(`{"statusCode":200}`)
		ask(f, request("POST", "/.netlify/functions/fn", "", "X-Netlify-Event: user_login", "X-Nf-Event: login", "X-Nf-Geo: me"), func(o *Options) {
			o.Configs, o.TrySchedules = map[string]weir.FunctionConfig{"fn": config}, true
			o.Accept = func(ctx context.Context, inv weir.Invocation) error { _, err := f.Invoke(ctx, inv); return err }
		})
		if event := strings.ToLower(string(f.got[0].Event)); strings.Contains(event, "login") || strings.Contains(event, "x-nf-geo") {
			t.Errorf("%+v: %s", config, event)
		}
	}
}

func TestScheduled(t *testing.T) {
	serveIt := func(f *functions, config weir.FunctionConfig, try bool) *http.Response {
		return ask(f, request("GET", "/.netlify/functions/fn?a=1", "", "X-NF-Event: other", "User-Agent: me"), func(o *Options) {
			o.Configs, o.TrySchedules = map[string]weir.FunctionConfig{"fn": config}, try
		})
	}
	daily := weir.FunctionConfig{Schedule: "@daily"}
	f := giving(`{"statusCode":500,"body":"unread"}`)
	res := serveIt(f, daily, true)
	if body := text(t, res); res.StatusCode != 200 || !strings.Contains(body, "fn is a scheduled function") || strings.Contains(body, "unread") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	var event struct {
		HTTPMethod, Body  string
		Headers           map[string]string
		MultiValueHeaders map[string][]string
	}
	if len(f.got) != 1 || json.Unmarshal(f.got[0].Event, &event) != nil || event.HTTPMethod != "POST" || !strings.HasPrefix(event.Body, `{"next_run":"20`) ||
		event.Headers["X-NF-Event"] != "schedule" || event.Headers["x-nf-event"] != "" || event.MultiValueHeaders["X-NF-Event"][0] != "schedule" || event.Headers["user-agent"] != "Netlify Clockwork" {
		t.Errorf("%+v", event)
	}
	if res := serveIt(throwing(&weir.FunctionError{Type: "Error", Message: "not today"}), daily, true); res.StatusCode != 500 || !strings.Contains(text(t, res), "not today") {
		t.Error(res.StatusCode)
	}
	f = giving(`{}`)
	if res := serveIt(f, daily, false); res.StatusCode != 404 || !strings.Contains(text(t, res), "weir jobs run") || len(f.got) != 0 {
		t.Errorf("on a server it has a URL: %d", res.StatusCode)
	}
	if res := serveIt(f, weir.FunctionConfig{Schedule: "@never"}, true); res.StatusCode != 502 || len(f.got) != 0 {
		t.Error(res.StatusCode)
	}
}
