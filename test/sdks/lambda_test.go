package sdks

// AWS's own client drives the Lambda Invoke API.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/weir"
)

// lambdas answers without any function behind it.
type lambdas struct{}

func (lambdas) Lookup(string) (weir.Limits, error) { return weir.DefaultLimits(), nil }

func (lambdas) Invoke(_ context.Context, inv weir.Invocation) (weir.Result, error) {
	switch inv.Function {
	case "streaming":
		body := io.NopCloser(strings.NewReader(strings.Repeat("x", 200_000)))
		return weir.Result{Stream: &weir.Stream{Head: json.RawMessage(`{"statusCode":201}`), Body: body}}, nil
	case "failing":
		return weir.Result{Error: &weir.FunctionError{Type: "RangeError", Message: "on purpose", Trace: []string{}}}, nil
	}
	return weir.Result{Payload: json.RawMessage(`{"plain":true}`)}, nil
}

func TestLambdaClient(t *testing.T) {
	dir := installed(t, "testdata/lambda", "weir-test-lambda")
	s := httptest.NewServer(gateway.New(gateway.Options{Lambda: true, Functions: lambdas{}, Logger: slog.New(slog.DiscardHandler),
		AllowHost: func(string) bool { return true }}))
	defer s.Close()
	cmd := exec.Command("node", "call.mjs", s.URL)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	type answer struct {
		Status         int
		Payload, Error string
	}
	var got map[string]struct{ Whole, Streamed answer }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	long := strings.Repeat("x", 200_000)
	thrown := `{"errorType":"RangeError","errorMessage":"on purpose","trace":[]}`
	for name, want := range map[string][2]answer{
		"plain":     {{200, `{"plain":true}`, ""}, {200, `{"plain":true}`, ""}},
		"streaming": {{200, `{"body":"` + long + `","isBase64Encoded":false,"statusCode":201}`, ""}, {200, `{"statusCode":201}` + strings.Repeat("\x00", 8) + long, ""}},
		"failing":   {{200, thrown, "Unhandled"}, {200, "", "RangeError"}},
	} {
		if got := [2]answer{got[name].Whole, got[name].Streamed}; got != want {
			t.Errorf("%s: %.300s", name, fmt.Sprint(got))
		}
	}
}
