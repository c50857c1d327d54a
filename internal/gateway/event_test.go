package gateway

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-run/weir/internal/weir"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestEvents holds requests against the events in testdata/events: each NAME.http is a request whose
// last line, after the blank one, is its body as a Go string; NAME.json is the event, or the line
// "400" where there must be none.
func TestEvents(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { goldenEvents(t, file) })
	}
}

func goldenEvents(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range a.Files {
		want[f.Name] = string(f.Data)
	}
	out := &txtar.Archive{Comment: a.Comment}
	for _, f := range a.Files {
		name, ok := strings.CutSuffix(f.Name, ".http")
		if !ok {
			continue
		}
		got := eventOf(t, string(f.Data))
		out.Files = append(out.Files, f, txtar.File{Name: name + ".json", Data: []byte(got)})
		t.Run(name, func(t *testing.T) {
			if !*update && got != want[name+".json"] {
				t.Errorf("event\n%s\nwant\n%s", got, want[name+".json"])
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// eventOf gives the event of a request as the golden files hold it.
func eventOf(t *testing.T, text string) string {
	t.Helper()
	r, body := parseRequest(t, text)
	e, err := newEvent(r, body, "ID", new(gateway).clientOf(r), nil)
	if err != nil {
		return strconv.Itoa(weir.ErrorCode(err).Status()) + "\n"
	}
	return string(e.json()) + "\n"
}

func parseRequest(t *testing.T, text string) (*http.Request, []byte) {
	t.Helper()
	head, quoted, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n\n")
	raw := strings.ReplaceAll(strings.TrimSuffix(head, "\n"), "\n", "\r\n") + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.7:4711"
	if quoted == "" {
		return r, nil
	}
	body, err := strconv.Unquote(quoted)
	if err != nil {
		t.Fatalf("the body %s is no Go string", quoted)
	}
	return r, []byte(body)
}

func TestEventKeepsTheRequestsHeaders(t *testing.T) {
	r, _ := parseRequest(t, "GET / HTTP/1.1\nHost: localhost\nX-Forwarded-For: 10.0.0.1\n\n")
	if _, err := newEvent(r, nil, "ID", new(gateway).clientOf(r), nil); err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Values("X-Forwarded-For"); len(got) != 1 || got[0] != "10.0.0.1" {
		t.Errorf("making an event changed the request: %q", got)
	}
}

// eventJSON is a v1 event as encoding/json reads it.
type eventJSON struct {
	RawURL                          string              `json:"rawUrl"`
	RawQuery                        string              `json:"rawQuery"`
	Path                            string              `json:"path"`
	HTTPMethod                      string              `json:"httpMethod"`
	Headers                         map[string]string   `json:"headers"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters"`
	Body                            *string             `json:"body"`
	IsBase64Encoded                 bool                `json:"isBase64Encoded"`
	Route                           *string             `json:"route"`
}

// byTheBook gives what the event must say, written by encoding/json and read back: a text that is
// not UTF-8 loses the same bytes.
func byTheBook(t *testing.T, e *event) eventJSON {
	t.Helper()
	want := eventJSON{RawURL: e.rawURL, RawQuery: e.rawQuery, Path: e.path, HTTPMethod: e.method,
		Headers: map[string]string{}, MultiValueHeaders: e.headers,
		QueryStringParameters: map[string]string{}, MultiValueQueryStringParameters: e.query, IsBase64Encoded: e.base64}
	for k, v := range e.headers {
		want.Headers[k] = strings.Join(v, ", ")
	}
	for k, v := range e.query {
		want.QueryStringParameters[k] = strings.Join(v, ", ")
	}
	if e.hasBody {
		want.Body = &e.body
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, b)
}

func read(t *testing.T, b []byte) (e eventJSON) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || d.More() {
		t.Fatalf("%s: %v", b, err)
	}
	return e
}

// FuzzEvent: whatever a request holds, its event says what encoding/json would say of it, and the
// same body.
func FuzzEvent(f *testing.F) {
	f.Add("a=1&b", "text/plain", "1", []byte("hello"))
	f.Add("%zz", "", "\"\\", []byte{0xff})
	f.Add("a[]=1&=&+", "application/octet-stream", "\xff", []byte(nil))
	f.Add("a=1&a=2&%22=%00", "application/json; charset=\"", "\x1f", []byte("{}"))
	f.Fuzz(func(t *testing.T, query, contentType, value string, body []byte) {
		r, _ := parseRequest(t, "POST /x HTTP/1.1\nHost: localhost\n\n")
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", contentType)
		r.Header["X-Twice"] = []string{value, value}
		e, err := newEvent(r, body, "ID", new(gateway).clientOf(r), nil)
		if err != nil {
			if weir.ErrorCode(err) != weir.Invalid {
				t.Fatalf("error %v", err)
			}
			return
		}
		v, want := read(t, e.json()), byTheBook(t, e)
		if !reflect.DeepEqual(v, want) {
			t.Fatalf("event %+v\nwant %+v", v, want)
		}
		if (v.Body == nil) != (len(body) == 0) {
			t.Fatalf("body %v of %d bytes", v.Body, len(body))
		}
		if v.Body == nil {
			return
		}
		got := []byte(*v.Body)
		if v.IsBase64Encoded {
			if got, err = base64.StdEncoding.DecodeString(*v.Body); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, body) {
			t.Fatalf("body %q became %q", body, got)
		}
	})
}

// TestOnlyProxiesSpeakForOthers: frameworks make URLs of these headers, so a client must not choose them.
func TestOnlyProxiesSpeakForOthers(t *testing.T) {
	names := []string{"x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "forwarded", "x-real-ip"}
	for _, trusted := range []bool{false, true} {
		r, _ := parseRequest(t, "GET / HTTP/1.1\nHost: localhost\n\n")
		for _, name := range names {
			r.Header.Set(name, "evil.test")
		}
		g := new(gateway)
		if trusted {
			g.TrustedProxies = prefixes("192.0.2.7/32")
		}
		e, err := newEvent(r, nil, "ID", g.clientOf(r), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if _, told := e.headers[name]; told != trusted {
				t.Errorf("%s reaches the function: %v, its sender is trusted: %v", name, told, trusted)
			}
		}
	}
}
