package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

const invocations = "/2015-03-31/functions/fn/invocations"

func TestLambdaInvoke(t *testing.T) {
	f := giving(`{"any":["JSON"]}`)
	res := ask(f, request("POST", invocations, `{"key":1}`,
		"X-Amz-Client-Context: "+base64.StdEncoding.EncodeToString([]byte(`{"custom":{}}`))))
	if body := text(t, res); res.StatusCode != 200 || body != `{"any":["JSON"]}` {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	h := res.Header
	if h.Get("X-Amzn-Requestid") == "" || h.Get("X-Amz-Executed-Version") != "$LATEST" || h.Get("X-Amz-Function-Error") != "" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	if len(f.got) != 1 || string(f.got[0].Event) != `{"key":1}` || f.got[0].Function != "fn" ||
		string(f.got[0].ClientContext) != `{"custom":{}}` || f.got[0].ID != h.Get("X-Amzn-Requestid") {
		t.Errorf("invocation %+v", f.got)
	}
}

func TestLambdaNames(t *testing.T) {
	for path, want := range map[string]string{
		"fn": "fn", "fn:$LATEST": "fn", "fn:prod": "fn",
		"arn:aws:lambda:us-east-1:000000000000:function:fn":        "fn",
		"arn:aws:lambda:us-east-1:000000000000:function:fn:1":      "fn",
		"000000000000:function:fn":                                 "fn",
		"arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3Afn%3Aone": "fn",
		"other": "", "fn%2F..": "", "": "", "arn:aws:lambda:us-east-1:0:function:": "", ":fn": "",
	} {
		f := giving(`1`)
		res := ask(f, request("POST", "/2015-03-31/functions/"+path+"/invocations", ""))
		switch {
		case want == "" && (res.StatusCode != http.StatusNotFound || res.Header.Get("X-Amzn-Errortype") != "ResourceNotFoundException" || len(f.got) > 0):
			t.Errorf("%s: %d %s", path, res.StatusCode, text(t, res))
		case want != "" && (res.StatusCode != 200 || f.got[0].Function != want):
			t.Errorf("%s: %d %+v", path, res.StatusCode, f.got)
		}
	}
}

// TestFunctionCalledFunction: the word that marks an ARN may be a name, too.
func TestFunctionCalledFunction(t *testing.T) {
	for _, name := range []string{"function", "function:$LATEST", "arn:aws:lambda:us-east-1:0:function:function", "0:function:function:1"} {
		if got, _, ok := lambdaName(&url.URL{Path: lambdaPath + name + "/invocations"}); !ok || got != "function" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestLambdaCalls(t *testing.T) {
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		kind   string
		calls  int
	}{
		"no event":           {request("POST", invocations, ""), 200, "", 1},
		"other invoke types": {request("POST", invocations, "{}", "X-Amz-Invocation-Type: RequestResponse"), 200, "", 1},
		"dry run":            {request("POST", invocations, "{}", "X-Amz-Invocation-Type: DryRun"), 204, "", 0},
		"dry run, no such":   {request("POST", strings.Replace(invocations, "fn", "no", 1), "{}", "X-Amz-Invocation-Type: DryRun"), 404, "ResourceNotFoundException", 0},
		"async":              {request("POST", invocations, "{}", "X-Amz-Invocation-Type: Event"), 503, "ServiceException", 0}, // nobody takes it
		"no such type":       {request("POST", invocations, "{}", "X-Amz-Invocation-Type: Later"), 400, "InvalidParameterValueException", 0},
		"get":                {request("GET", invocations, ""), 405, "InvalidRequestContentException", 0},
		"not JSON":           {request("POST", invocations, "{"), 400, "InvalidRequestContentException", 0},
		"two values":         {request("POST", invocations, "{}{}"), 400, "InvalidRequestContentException", 0},
		"context no base64":  {request("POST", invocations, "{}", "X-Amz-Client-Context: {}"), 400, "InvalidRequestContentException", 0},
		"context no JSON":    {request("POST", invocations, "{}", "X-Amz-Client-Context: eA=="), 400, "InvalidRequestContentException", 0},
		"context too large": {request("POST", invocations, "{}", "X-Amz-Client-Context: "+
			base64.StdEncoding.EncodeToString([]byte(`"`+strings.Repeat("a", 3000)+`"`))), 400, "InvalidRequestContentException", 0},
		"too large":  {request("POST", invocations, `"`+strings.Repeat("a", 7<<20)+`"`), 413, "RequestTooLargeException", 0},
		"other call": {request("POST", "/2015-03-31/functions/fn", "{}"), 404, "ResourceNotFoundException", 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := giving(`1`)
			res := ask(f, c.r)
			if res.StatusCode != c.status || res.Header.Get("X-Amzn-Errortype") != c.kind || len(f.got) != c.calls {
				t.Errorf("%d %s, %d calls: %s", res.StatusCode, res.Header.Get("X-Amzn-Errortype"), len(f.got), text(t, res))
			}
			if c.calls == 1 && string(f.got[0].Event) != "{}" {
				t.Errorf("event %s", f.got[0].Event)
			}
		})
	}
}

func TestLambdaErrors(t *testing.T) {
	for name, c := range map[string]struct {
		f    *functions
		want string // a regular expression
	}{
		"thrown": {throwing(&weir.FunctionError{Type: "TypeError", Message: "no", Trace: []string{"TypeError: no", "    at x"}}),
			`^{"errorType":"TypeError","errorMessage":"no","trace":\["TypeError: no","    at x"\]}$`},
		"timed out": {failing(&weir.Error{Code: weir.TimedOut, Message: "too slow"}),
			`^{"errorType":"Sandbox.Timedout","errorMessage":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \w{26} Task timed out after \d+\.\d\d seconds"`},
		"crashed":    {failing(&weir.Error{Code: weir.Crashed, Message: "it ended"}), `"Runtime.ExitError","errorMessage":"RequestId: \w{26} Error: it ended"`},
		"too large":  {failing(&weir.Error{Code: weir.TooLarge, Message: "much"}), `"Function.ResponseSizeTooLarge"`},
		"broken":     {failing(&weir.Error{Code: weir.Broken, Message: "no handler", Remedy: "export one"}), `"Runtime.ImportModuleError","errorMessage":"no handler \(export one\)"`},
		"of our own": {failing(errors.New("/secret/path: EIO")), `"Runtime.ExitError","errorMessage":"RequestId: \w{26} Error: an internal error`},
	} {
		t.Run(name, func(t *testing.T) {
			res := ask(c.f, request("POST", invocations, "{}"))
			body := text(t, res)
			if res.StatusCode != 200 || res.Header.Get("X-Amz-Function-Error") != "Unhandled" {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
			if !regexp.MustCompile(c.want).MatchString(body) || strings.Contains(body, "/secret") {
				t.Errorf("%s", body)
			}
		})
	}
}

// TestLambdaResultsAreBounded: by the body of an HTTP answer, else by all of the result.
func TestLambdaResultsAreBounded(t *testing.T) {
	const limit = 100
	for payload, want := range map[string]bool{
		`{"statusCode":200,"body":"` + strings.Repeat("x", 101) + `"}`:                     true,
		`{"statusCode":200,"body":"` + strings.Repeat("x", 100) + `","headers":{"a":"b"}}`: false,
		`{"statusCode":200,"body":"` + strings.Repeat(`\n`, 100) + `"}`:                    false,
		`{"data":"` + strings.Repeat("x", 100) + `"}`:                                      true,
		`"` + strings.Repeat("x", 98) + `"`:                                                false,
		`{"body":null,"data":"` + strings.Repeat("x", 100) + `"}`:                          true,
	} {
		if got := exceeds(json.RawMessage(payload), limit); got != want {
			t.Errorf("%s: %v", payload, got)
		}
	}
}

// TestThrownAtImportKeepsItsType: what a function throws while it is loaded is told as on Lambda, by its
// own type.
func TestThrownAtImportKeepsItsType(t *testing.T) {
	f := &functions{invoke: func(weir.Invocation) (weir.Result, error) {
		return weir.Result{}, &weir.Error{Code: weir.Broken, Message: "fn can't be loaded",
			Err: &weir.FunctionError{Type: "ConfigError", Message: "no key", Trace: []string{"ConfigError: no key"}}}
	}}
	if body := text(t, ask(f, request("POST", invocations, "{}"))); body != `{"errorType":"ConfigError","errorMessage":"no key","trace":["ConfigError: no key"]}` {
		t.Errorf("by Lambda: %s", body)
	}
	if res := ask(f, request("GET", "/.netlify/functions/fn", "")); res.StatusCode != 502 || !strings.Contains(text(t, res), "fn can't be loaded: ConfigError: no key") {
		t.Errorf("by HTTP: %d", res.StatusCode)
	}
}
