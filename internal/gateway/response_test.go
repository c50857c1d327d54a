package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-run/weir/internal/weir"
)

// answer gives what a client receives for a handler's result.
func answer(t *testing.T, method, payload string, limit int64) (*http.Response, error) {
	t.Helper()
	w := httptest.NewRecorder()
	if err := new(gateway).writeResult(w, httptest.NewRequest(method, "/", nil), json.RawMessage(payload), limit, "fn"); err != nil {
		if w.Body.Len() > 0 || len(w.Header()) > 0 || w.Code != http.StatusOK {
			t.Errorf("an error, and %d %v %q was written", w.Code, w.Header(), w.Body)
		}
		return nil, err
	}
	return w.Result(), nil
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		payload, body string
		status        int
		headers       http.Header // those that must be there; nil: must not
	}{
		"text":              {`{"statusCode":200,"body":"hello"}`, "hello", 200, http.Header{"Content-Length": {"5"}, "Content-Type": {"text/plain; charset=utf-8"}}},
		"status as string":  {`{"statusCode":"201","body":"x"}`, "x", 201, nil},
		"no body":           {`{"statusCode":404}`, "", 404, http.Header{"Content-Length": {"0"}}},
		"null body":         {`{"statusCode":200,"body":null}`, "", 200, nil},
		"own type":          {`{"statusCode":200,"headers":{"content-type":"text/html"},"body":"x"}`, "x", 200, http.Header{"Content-Type": {"text/html"}}},
		"base64":            {`{"statusCode":200,"body":"AP8=","isBase64Encoded":true}`, "\x00\xff", 200, http.Header{"Content-Length": {"2"}}},
		"base64 in lines":   {`{"statusCode":200,"body":"AP\r\n8=\n","isBase64Encoded":true}`, "\x00\xff", 200, nil},
		"base64, unmarked":  {`{"statusCode":200,"body":"AP8="}`, "AP8=", 200, nil},
		"redirect":          {`{"statusCode":302,"headers":{"Location":"/a"}}`, "", 302, http.Header{"Location": {"/a"}}},
		"values of types":   {`{"statusCode":200,"headers":{"x-n":1,"x-b":true}}`, "", 200, http.Header{"X-N": {"1"}, "X-B": {"true"}}},
		"cookies":           {`{"statusCode":200,"multiValueHeaders":{"set-cookie":["a=1","b=2"]}}`, "", 200, http.Header{"Set-Cookie": {"a=1", "b=2"}}},
		"cookies, plainly":  {`{"statusCode":200,"headers":{"set-cookie":["a=1","b=2"],"x-none":[]}}`, "", 200, http.Header{"Set-Cookie": {"a=1", "b=2"}, "X-None": nil}},
		"multi wins":        {`{"statusCode":200,"headers":{"X-A":"one"},"multiValueHeaders":{"x-a":["two"]}}`, "", 200, http.Header{"X-A": {"two"}}},
		"name in two cases": {`{"statusCode":200,"headers":{"content-type":"text/html","Content-Type":"text/css","CONTENT-TYPE":"text/csv"}}`, "", 200, http.Header{"Content-Type": {"text/html"}}},
		"own length":        {`{"statusCode":200,"headers":{"Content-Length":"1"},"body":"hello"}`, "hello", 200, http.Header{"Content-Length": {"5"}}},
		"own framing":       {`{"statusCode":200,"headers":{"Transfer-Encoding":"chunked","Connection":"close","Upgrade":"h2c","Trailer":"X"},"body":"x"}`, "x", 200, http.Header{"Transfer-Encoding": nil, "Connection": nil, "Upgrade": nil, "Trailer": nil}},
		"own length, multi": {`{"statusCode":200,"multiValueHeaders":{"content-length":["1","2"]},"body":"hello"}`, "hello", 200, http.Header{"Content-Length": {"5"}}},
		"netlify's":         {`{"statusCode":200,"headers":{"X-NF-Request-ID":"forged"}}`, "", 200, http.Header{"X-Nf-Request-Id": nil}},
		"reset content":     {`{"statusCode":205,"body":"ignored"}`, "", 205, http.Header{"Content-Length": {"0"}}},
		"no content":        {`{"statusCode":204,"headers":{"Content-Length":"9"},"body":"ignored"}`, "", 204, http.Header{"Content-Length": nil, "Content-Type": nil}},
		"not modified":      {`{"statusCode":304,"body":"ignored"}`, "", 304, http.Header{"Content-Length": nil}},
		"unknown fields":    {`{"statusCode":200,"metadata":{"x":1},"body":"x"}`, "x", 200, nil},
		"highest status":    {`{"statusCode":599,"body":"x"}`, "x", 599, nil},
		"latin letters":     {`{"statusCode":200,"headers":{"x-a":"ü"}}`, "", 200, http.Header{"X-A": {"ü"}}},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := answer(t, "GET", c.payload, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != c.status || string(body) != c.body {
				t.Errorf("%d %q, want %d %q", res.StatusCode, body, c.status, c.body)
			}
			for k, want := range c.headers {
				if got := res.Header[k]; !slices.Equal(got, want) {
					t.Errorf("%s is %q, want %q", k, got, want)
				}
			}
		})
	}
}

func TestNonsenseIsNoAnswer(t *testing.T) {
	for name, payload := range map[string]string{
		"nothing":          ``,
		"null":             `null`,
		"array":            `[{"statusCode":200}]`,
		"string":           `"ok"`,
		"number":           `200`,
		"no status":        `{"body":"x"}`,
		"null status":      `{"statusCode":null}`,
		"status of words":  `{"statusCode":"OK"}`,
		"status too low":   `{"statusCode":199}`,
		"switching":        `{"statusCode":101}`,
		"status too high":  `{"statusCode":600}`,
		"negative":         `{"statusCode":-200}`,
		"fraction":         `{"statusCode":200.5}`,
		"exponent":         `{"statusCode":2e2}`,
		"huge status":      `{"statusCode":99999999999999999999}`,
		"status object":    `{"statusCode":{}}`,
		"body object":      `{"statusCode":200,"body":{"a":1}}`,
		"body number":      `{"statusCode":200,"body":1}`,
		"bad base64":       `{"statusCode":200,"body":"not base64","isBase64Encoded":true}`,
		"flag as string":   `{"statusCode":200,"isBase64Encoded":"yes"}`,
		"CRLF in value":    `{"statusCode":200,"headers":{"X-A":"1\r\nSet-Cookie: x=1"}}`,
		"LF in value":      `{"statusCode":200,"headers":{"X-A":"1\nX-B: 1"}}`,
		"NUL in value":     `{"statusCode":200,"headers":{"X-A":"\u0000"}}`,
		"CRLF in name":     `{"statusCode":200,"headers":{"X-A\r\nX-B":"1"}}`,
		"colon in name":    `{"statusCode":200,"headers":{"X-A:":"1"}}`,
		"blank in name":    `{"statusCode":200,"headers":{"Content-Length ":"1"}}`,
		"empty name":       `{"statusCode":200,"headers":{"":"1"}}`,
		"name not ASCII":   `{"statusCode":200,"headers":{"X-ü":"1"}}`,
		"CRLF in multi":    `{"statusCode":200,"multiValueHeaders":{"Set-Cookie":["a=1","b=2\r\n\r\n<script>"]}}`,
		"value object":     `{"statusCode":200,"headers":{"X-A":{}}}`,
		"value null":       `{"statusCode":200,"headers":{"X-A":null}}`,
		"headers a string": `{"statusCode":200,"headers":"X-A: 1"}`,
		"array in array":   `{"statusCode":200,"headers":{"X-A":[["1"]]}}`,
		"CRLF in array":    `{"statusCode":200,"headers":{"X-A":["1","2\r\nX-B: 1"]}}`,
		"multi no array":   `{"statusCode":200,"multiValueHeaders":{"X-A":"1"}}`,
		"header bomb":      `{"statusCode":200,"headers":{"X-A":"` + strings.Repeat("a", maxHeaders) + `"}}`,
		"many headers":     `{"statusCode":200,"multiValueHeaders":{"X-A":[` + strings.Repeat(`"",`, maxHeaders/7) + `""]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := answer(t, "GET", payload, 1<<20)
			if weir.ErrorCode(err) != weir.Broken || weir.ErrorCode(err).Status() != http.StatusBadGateway {
				t.Fatalf("error %v", err)
			}
			if message, _ := messageOf(err); len(message) > 400 || strings.ContainsAny(message, "\r\n") {
				t.Errorf("the message is no short line: %q", message)
			}
		})
	}
}

func TestAnswerTooLarge(t *testing.T) {
	payload := `{"statusCode":200,"body":"12345"}`
	if _, err := answer(t, "GET", payload, 5); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := answer(t, "GET", payload, 4); err == nil || weir.ErrorCode(err).Status() != http.StatusBadGateway {
		t.Errorf("above the limit: %v", err)
	}
}

// TestSameAnswerSameLimit: an answer fits through both ways in or through neither; base64 counts as
// the handler gives it.
func TestSameAnswerSameLimit(t *testing.T) {
	const limit = 100
	for text, fits := range map[string]bool{
		strings.Repeat("x", limit):   true,
		strings.Repeat("x", limit+4): false,
		strings.Repeat("ü", limit):   false,
	} {
		for _, base64 := range []bool{true, false} {
			if base64 && strings.Contains(text, "ü") {
				continue
			}
			payload := fmt.Sprintf(`{"statusCode":200,"body":%q,"isBase64Encoded":%t}`, text, base64)
			_, err := answer(t, "GET", payload, limit)
			if (err == nil) != fits || exceeds(json.RawMessage(payload), limit) == fits {
				t.Errorf("%.40s: %v by HTTP, too large by Lambda: %t", payload, err, exceeds(json.RawMessage(payload), limit))
			}
		}
	}
}

func TestHeadHasLengthAndNoBody(t *testing.T) {
	res, err := answer(t, "HEAD", `{"statusCode":200,"body":"hello"}`, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if len(body) > 0 || res.Header.Get("Content-Length") != "5" {
		t.Errorf("%q, length %s", body, res.Header.Get("Content-Length"))
	}
}

// FuzzWriteResult: whatever a handler gives, the client receives one well-formed answer, or
// writeResult wrote nothing and said why.
func FuzzWriteResult(f *testing.F) {
	for _, seed := range []string{
		`{"statusCode":200,"body":"hello"}`, `{"statusCode":"204"}`, `null`, `{"statusCode":200,"headers":{"a":"b\r\nc"}}`,
		`{"statusCode":200,"multiValueHeaders":{"Set-Cookie":["a","b"]},"body":"AP8=","isBase64Encoded":true}`,
		`{"statusCode":200,"headers":{"content-length":"1","X-A":1},"body":"xy"}`, `{"statusCode":304,"headers":{"Content-Type":""}}`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, payload string, get bool) {
		method := http.MethodHead
		if get {
			method = http.MethodGet
		}
		res, err := answer(t, method, payload, 1<<10)
		if err != nil {
			if code := weir.ErrorCode(err); code != weir.Broken && code != weir.Crashed {
				t.Fatalf("error %v", err)
			}
			return
		}
		for k, values := range res.Header {
			for _, v := range values {
				if !httpguts.ValidHeaderFieldName(k) || !httpguts.ValidHeaderFieldValue(v) {
					t.Fatalf("header %q: %q", k, v)
				}
			}
		}
		checkFraming(t, method, res)
	})
}

// checkFraming writes an answer to the wire and reads it back: nothing may be left over.
func checkFraming(t *testing.T, method string, res *http.Response) {
	t.Helper()
	body, _ := io.ReadAll(res.Body)
	var wire bytes.Buffer
	fmt.Fprintf(&wire, "HTTP/1.1 %d x\r\n", res.StatusCode)
	res.Header.Write(&wire)
	wire.WriteString("\r\n")
	wire.Write(body)
	r := bufio.NewReader(&wire)
	back, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(back.Body)
	if err != nil || !bytes.Equal(got, body) || r.Buffered() > 0 {
		t.Fatalf("%q was read back as %q (%v), %d bytes left", body, got, err, r.Buffered())
	}
}
