package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestForeignHostReachesNothing(t *testing.T) {
	for _, target := range []string{"/", "/.netlify/functions/fn", invocations} {
		for _, host := range []string{"evil.test", "", "localhost.evil.test", "<script>"} {
			f := giving(`{"statusCode":200}`)
			r := request("POST", target, "{}")
			r.Host = host
			res := ask(f, r)
			if res.StatusCode != http.StatusMisdirectedRequest || len(f.got) > 0 {
				t.Errorf("%s for %q: %d", target, host, res.StatusCode)
			}
			if ct := res.Header.Get("Content-Type"); ct != "application/problem+json" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("the answer could be taken for a page: %s", ct)
			}
		}
	}
}

// TestForeignPagesMayNotInvoke: a page in a browser can send a simple POST anywhere; it must not
// start functions by the Invoke API, which takes any event.
func TestForeignPagesMayNotInvoke(t *testing.T) {
	for header, ok := range map[string]bool{
		"Origin: http://evil.test":          false,
		"Origin: null":                      false,
		"Origin: https://localhost":         false,
		"Origin: http://localhost:1":        false,
		"Origin: http://localhost.evil":     false,
		"Sec-Fetch-Site: cross-site":        false,
		"Sec-Fetch-Site: same-site":         false,
		"Sec-Fetch-Site: SAME-ORIGIN, none": false,
		"Origin: http://localhost":          true,
		"Sec-Fetch-Site: same-origin":       true,
		"Sec-Fetch-Site: none":              true,
		"X-No-Browser: 1":                   true,
	} {
		f := giving(`1`)
		res := ask(f, request("POST", invocations, "{}", header))
		if got := res.StatusCode == 200; got != ok || !ok && (res.StatusCode != http.StatusForbidden || len(f.got) > 0) {
			t.Errorf("%s: %d, %d calls", header, res.StatusCode, len(f.got))
		}
	}
}

func TestRequestTooLarge(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		chunked bool
		status  int
	}{
		"at the limit":              {strings.Repeat("a", 100), false, 200},
		"at the limit, chunked":     {strings.Repeat("a", 100), true, 200},
		"above":                     {strings.Repeat("a", 101), false, 413},
		"above, chunked":            {strings.Repeat("a", 101), true, 413},
		"base64 of it at the limit": {strings.Repeat("\xff", 75), false, 200},
		"base64 of it above":        {strings.Repeat("\xff", 76), false, 413},
	} {
		t.Run(name, func(t *testing.T) {
			f := giving(`{"statusCode":200}`)
			f.limits.Request = 100
			r := request("POST", "/.netlify/functions/fn", c.body)
			if c.chunked {
				r.ContentLength = -1
			}
			res := ask(f, r)
			if res.StatusCode != c.status || (c.status == 200) != (len(f.got) == 1) {
				t.Errorf("%d, %d calls: %s", res.StatusCode, len(f.got), text(t, res))
			}
		})
	}
}

func TestLengthThatIsALie(t *testing.T) {
	f := giving(`{"statusCode":200}`)
	r := request("POST", "/.netlify/functions/fn", "short")
	r.ContentLength = 50
	if res := ask(f, r); res.StatusCode != 400 || len(f.got) > 0 {
		t.Errorf("%d, %d calls", res.StatusCode, len(f.got))
	}
	r = request("POST", "/.netlify/functions/fn", "x")
	r.Body = io.NopCloser(forbidden{t})
	r.ContentLength = 1 << 60
	if res := ask(f, r); res.StatusCode != 413 || res.Header.Get("Connection") != "close" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// forbidden is a body that must not be read.
type forbidden struct{ t *testing.T }

func (f forbidden) Read([]byte) (int, error) {
	f.t.Error("the body was read")
	return 0, io.EOF
}

func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		f      *functions
		target string
		status int
		detail string
	}{
		"no such":   {giving(``), "/.netlify/functions/f", 404, "there is no function f"},
		"nameless":  {giving(``), "/.netlify/functions/", 404, "there is no function "},
		"bad query": {giving(``), "/.netlify/functions/fn?%zz", 400, "the query string has a broken percent escape"},
		"timed out": {failing(&weir.Error{Code: weir.TimedOut, Message: "slow"}), "/.netlify/functions/fn", 504, "slow"},
		"crashed":   {failing(&weir.Error{Code: weir.Crashed, Message: "gone", Err: errors.New("cause")}), "/.netlify/functions/fn", 502, "gone"},
		"broken":    {failing(&weir.Error{Code: weir.Broken, Message: "bad", Pos: weir.Position{File: "fn.js", Line: 3}}), "/.netlify/functions/fn", 502, "fn.js:3: bad"},
		"busy":      {failing(&weir.Error{Code: weir.Unavailable, Message: "busy"}), "/.netlify/functions/fn", 503, "busy"},
		"our own":   {failing(errors.New("/secret: EIO")), "/.netlify/functions/fn", 500, "an internal error"},
		"nonsense":  {giving(`null`), "/.netlify/functions/fn", 502, "fn answered with nonsense: it gave null, not an object"},
		"a text":    {giving(`"a\n` + "\u202e" + `"`), "/.netlify/functions/fn", 502, `fn answered with nonsense: it gave "a\n` + "\ufffd" + `", not an object`},
	} {
		t.Run(name, func(t *testing.T) {
			res := ask(c.f, request("GET", c.target, ""))
			var p struct {
				Status int
				Detail string
			}
			if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != c.status || p.Status != c.status || p.Detail != c.detail || res.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %v %+v", res.StatusCode, res.Header, p)
			}
			if res.Header.Get("X-Nf-Request-Id") == "" {
				t.Error("the answer has no id to look up in the log")
			}
		})
	}
}

// TestCallerWhoHangsUpIsKnown: whoever keeps an invocation waiting learns that nobody waits for it any
// more. (One that has begun is carried out all the same, which is the pool's to see to.)
func TestCallerWhoHangsUpIsKnown(t *testing.T) {
	for _, target := range []string{"/.netlify/functions/fn", invocations} {
		f := giving(`{"statusCode":200}`)
		ctx, hangUp := context.WithCancel(t.Context())
		f.invoke = func(weir.Invocation) (weir.Result, error) {
			hangUp()
			<-f.ctx.Done()
			return weir.Result{Payload: json.RawMessage(`{"statusCode":200}`)}, nil
		}
		if res := ask(f, request("POST", target, "{}").WithContext(ctx)); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", target, res.StatusCode, text(t, res))
		}
	}
}

// TestNoRoom: who finds no room is told whose bound it was, and when to come again.
func TestNoRoom(t *testing.T) {
	for code, status := range map[weir.Code]int{weir.Busy: 429, weir.Unavailable: 503} {
		for _, target := range []string{"/.netlify/functions/fn", invocations} {
			res := ask(failing(&weir.Error{Code: code, Message: "no room"}), request("POST", target, "{}"))
			if res.StatusCode != status || res.Header.Get("Retry-After") != "1" || !strings.Contains(text(t, res), "no room") {
				t.Errorf("%s: %s is answered %d %v", target, code, res.StatusCode, res.Header)
			}
			if kind := res.Header.Get("X-Amzn-Errortype"); target == invocations && (kind == "TooManyRequestsException") != (code == weir.Busy) {
				t.Errorf("%s: %s is a %s", target, code, kind)
			}
		}
	}
	if res := ask(failing(&weir.Error{Code: weir.Crashed}), request("POST", "/.netlify/functions/fn", "{}")); res.Header.Get("Retry-After") != "" {
		t.Error("a crash asks to come again")
	}
}

func TestThrownErrorShowsNoStack(t *testing.T) {
	res := ask(throwing(&weir.FunctionError{Type: "TypeError", Message: "<b>", Trace: []string{"at secret.js"}}), request("GET", "/.netlify/functions/fn", ""))
	if body := text(t, res); res.StatusCode != 500 || body != `{"errorMessage":"\u003cb\u003e","errorType":"TypeError"}` || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestNamesOfFunctions(t *testing.T) {
	for path, calls := range map[string]int{
		"/.netlify/functions/fn": 1, "/.netlify/functions/fn/": 1, "/.netlify/functions/fn/a/b": 1, "/.netlify/functions/%66n": 1,
		"/.netlify/functions/FN": 0, "/.netlify/functions": 0, "/.netlify/functions/../functions/fn": 0, "/x/.netlify/functions/fn": 0,
	} {
		f := giving(`{"statusCode":200}`)
		if ask(f, request("GET", path, "")); len(f.got) != calls {
			t.Errorf("%s: %d calls", path, len(f.got))
		}
	}
}
