package gateway

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// functions is an Invoker of one function, "fn".
type functions struct {
	invoke func(weir.Invocation) (weir.Result, error)
	limits weir.Limits
	got    []weir.Invocation
	ctx    context.Context // of the last call
}

func (f *functions) Lookup(name string) (weir.Limits, error) {
	if name != "fn" {
		return weir.Limits{}, &weir.Error{Code: weir.NotFound, Message: "there is no function " + name, Remedy: "did you mean fn?"}
	}
	return f.limits.WithDefaults(), nil
}

func (f *functions) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, error) {
	f.ctx = ctx
	f.got = append(f.got, inv)
	return f.invoke(inv)
}

// giving makes functions whose answer is always the same.
func giving(payload string) *functions {
	return &functions{invoke: func(weir.Invocation) (weir.Result, error) {
		return weir.Result{Payload: json.RawMessage(payload)}, nil
	}}
}

func failing(err error) *functions {
	return &functions{invoke: func(weir.Invocation) (weir.Result, error) { return weir.Result{}, err }}
}

func throwing(e *weir.FunctionError) *functions {
	return &functions{invoke: func(weir.Invocation) (weir.Result, error) { return weir.Result{Error: e}, nil }}
}

// ask sends a request to a gateway that answers for localhost only.
func ask(f *functions, r *http.Request, change ...func(*Options)) *http.Response {
	return answerTo(r, append([]func(*Options){func(o *Options) { o.Functions = f }}, change...)...).Result()
}

// answerTo is ask without functions.
func answerTo(r *http.Request, change ...func(*Options)) *httptest.ResponseRecorder {
	o := Options{Logger: quiet, Lambda: true, Compressed: NewCompressed(1 << 20),
		AllowHost: func(host string) bool { return host == "localhost" }}
	for _, c := range change {
		c(&o)
	}
	w := httptest.NewRecorder()
	New(o).ServeHTTP(w, r)
	return w
}

// request makes a request to localhost; headers are "Name: value".
func request(method, target, body string, headers ...string) *http.Request {
	var r *http.Request
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	} else {
		r = httptest.NewRequest(method, target, strings.NewReader(body))
	}
	r.Host = "localhost"
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Add(k, v)
	}
	return r
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var quiet = slog.New(slog.DiscardHandler)
