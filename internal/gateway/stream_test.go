package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// flowing is the body of an answer that the test writes; closed tells that it was closed.
type flowing struct {
	*io.PipeReader
	closed chan struct{}
}

func (f *flowing) Close() error {
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	return f.PipeReader.Close()
}

// streaming makes functions that answer with a stream, and what writes it.
func streaming(head string) (*functions, *flowing, *io.PipeWriter) {
	r, w := io.Pipe()
	body := &flowing{r, make(chan struct{})}
	return &functions{invoke: func(weir.Invocation) (weir.Result, error) {
		return weir.Result{Stream: &weir.Stream{Head: json.RawMessage(head), Body: body}}, nil
	}}, body, w
}

// serve serves functions over HTTP/1.1 or HTTP/2; its client takes any certificate.
func serve(t *testing.T, f *functions, http2 bool, change ...func(*Options)) *httptest.Server {
	t.Helper()
	o := Options{Lambda: true, Functions: f, Logger: slog.New(slog.DiscardHandler), AllowHost: func(string) bool { return true }}
	for _, c := range change {
		c(&o)
	}
	s := httptest.NewUnstartedServer(New(o))
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func bothVersions(t *testing.T, f func(t *testing.T, http2 bool)) {
	t.Run("HTTP/1.1", func(t *testing.T) { f(t, false) })
	t.Run("HTTP/2", func(t *testing.T) { f(t, true) })
}

// TestStreamComesAsItIsMade: every piece arrives before the next one is made.
func TestStreamComesAsItIsMade(t *testing.T) {
	bothVersions(t, func(t *testing.T, http2 bool) {
		f, body, w := streaming(`{"statusCode":201,"headers":{"content-type":"text/event-stream","content-length":"3","transfer-encoding":"gzip"},"multiValueHeaders":{"set-cookie":["a=1","b=2"]}}`)
		s := serve(t, f, http2)
		res, err := s.Client().Get(s.URL + "/.netlify/functions/fn")
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 201 || res.Header.Get("Content-Type") != "text/event-stream" || res.ContentLength != -1 ||
			!slices.Equal(res.Header["Set-Cookie"], []string{"a=1", "b=2"}) || (res.ProtoMajor == 2) != http2 {
			t.Errorf("%s %d %v", res.Proto, res.StatusCode, res.Header)
		}
		for _, piece := range []string{"one", strings.Repeat("x", 3*pieceSize), "three"} {
			go io.WriteString(w, piece)
			got := make([]byte, len(piece))
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != piece {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
		}
		w.Close()
		if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
			t.Errorf("%q %v", rest, err)
		}
		<-body.closed
	})
}

// TestCutStreamHasNoEnd: what the function does not end must not look whole.
func TestCutStreamHasNoEnd(t *testing.T) {
	bothVersions(t, func(t *testing.T, http2 bool) {
		f, body, w := streaming(`{"statusCode":200}`)
		s := serve(t, f, http2)
		res, err := s.Client().Get(s.URL + "/.netlify/functions/fn")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			io.WriteString(w, "half")
			w.CloseWithError(&weir.FunctionError{Type: "Error", Message: "on purpose"})
		}()
		if got, err := io.ReadAll(res.Body); err == nil || string(got) != "half" {
			t.Errorf("%q %v", got, err)
		}
		<-body.closed
	})
}

// TestClientHangsUp: a function that nobody listens to any more is told so, also while it says nothing.
func TestClientHangsUp(t *testing.T) {
	bothVersions(t, func(t *testing.T, http2 bool) {
		f, body, _ := streaming(`{"statusCode":200}`)
		s := serve(t, f, http2)
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/.netlify/functions/fn", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Client().Do(req); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-body.closed
	})
}

func TestStreamWithoutBody(t *testing.T) {
	for _, c := range []struct {
		method, head string
		status       int
	}{{"HEAD", `{"statusCode":200}`, 200}, {"GET", `{"statusCode":204}`, 204}, {"GET", `{"statusCode":304}`, 304}} {
		f, body, _ := streaming(c.head)
		res := ask(f, request(c.method, "/.netlify/functions/fn", ""))
		if got := text(t, res); res.StatusCode != c.status || got != "" {
			t.Errorf("%s: %d %q", c.method, res.StatusCode, got)
		}
		<-body.closed
	}
}

func TestHeadOfStreamIsChecked(t *testing.T) {
	for head, want := range map[string]int{
		`{"headers":{"a":"b"}}`:           200, // the status is optional
		`{"statusCode":101}`:              502,
		`{"headers":{"a":"b\r\nc: d"}}`:   502,
		`{"headers":{"no name":"b"}}`:     502,
		`[]`:                              502,
		`{"multiValueHeaders":{"a":"b"}}`: 502,
	} {
		f, body, w := streaming(head)
		w.Close()
		if res := ask(f, request("GET", "/.netlify/functions/fn", "")); res.StatusCode != want {
			t.Errorf("%s: %d %s", head, res.StatusCode, text(t, res))
		}
		<-body.closed
	}
}

// v2 makes a gateway take fn for a function v2.
func v2(o *Options) { o.Configs = map[string]weir.FunctionConfig{"fn": {Form: weir.FormV2}} }

// TestRequestBodyFlows: a function v2 reads, and answers, while the client still writes.
func TestRequestBodyFlows(t *testing.T) {
	bothVersions(t, func(t *testing.T, http2 bool) {
		echo := &functions{invoke: func(inv weir.Invocation) (weir.Result, error) {
			if inv.Body == nil {
				return weir.Result{}, errors.New("the body came with the event")
			}
			return weir.Result{Stream: &weir.Stream{Head: json.RawMessage(`{"statusCode":200}`), Body: io.NopCloser(inv.Body)}}, nil
		}}
		s := serve(t, echo, http2, v2)
		r, w := io.Pipe()
		answered := make(chan *http.Response)
		go func() {
			res, err := s.Client().Post(s.URL+"/.netlify/functions/fn", "text/plain", r)
			if err != nil {
				t.Error(err)
			}
			answered <- res
		}()
		io.WriteString(w, strings.Repeat("ping", smallBody/4)) // what is smaller comes with the event
		res := <-answered
		defer res.Body.Close()
		for _, words := range []string{strings.Repeat("ping", smallBody/4), "pong"} {
			got := make([]byte, len(words))
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != words {
				t.Fatalf("%.20q %v", got, err)
			}
			go io.WriteString(w, "pong")
		}
		w.Close()
	})
}

// TestFlowingBodyTooLarge: the limit holds while the body flows, and no function can hide that it is passed.
func TestFlowingBodyTooLarge(t *testing.T) {
	for name, c := range map[string]struct {
		length int64
		answer func(read error) (weir.Result, error)
		called bool
	}{
		"told beforehand": {1 << 20, nil, false},
		"ignored": {-1, func(error) (weir.Result, error) {
			return weir.Result{Payload: json.RawMessage(`{"statusCode":200,"body":"all is well"}`)}, nil
		}, true},
		"cancelled": {-1, func(err error) (weir.Result, error) { return weir.Result{}, err }, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &functions{limits: weir.Limits{Request: 100_000}}
			f.invoke = func(inv weir.Invocation) (weir.Result, error) {
				got, err := io.ReadAll(inv.Body)
				if len(got) > 100_000 || weir.ErrorCode(err) != weir.TooLarge {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return c.answer(err)
			}
			r := request("POST", "/.netlify/functions/fn", strings.Repeat("x", 1<<20))
			r.ContentLength = c.length
			if res := ask(f, r, v2); res.StatusCode != http.StatusRequestEntityTooLarge || (len(f.got) > 0) != c.called {
				t.Errorf("%d %s", res.StatusCode, text(t, res))
			}
		})
	}
}

// TestUnreadBodyIsNoRequest: what a function leaves of a request's body is not read as the next request.
func TestUnreadBodyIsNoRequest(t *testing.T) {
	f := giving(`{"statusCode":200,"body":"early"}`)
	s := serve(t, f, false, v2)
	smuggled := "GET /.netlify/functions/fn?smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
	conn := dial(t, s)
	fmt.Fprintf(conn, "POST /.netlify/functions/fn HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n%s%s", strings.Repeat("x", smallBody), smuggled)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, res); got != "early" || !res.Close {
		t.Errorf("%q, and the connection is kept", got)
	}
	if len(f.got) != 1 {
		t.Errorf("%d invocations", len(f.got))
	}
}

// TestBodyOfRefusedRequestIsNoRequest: nor is what a client sends on after its request was refused. (A page of
// another origin could so have called what it may not.)
func TestBodyOfRefusedRequestIsNoRequest(t *testing.T) {
	f := giving(`{"statusCode":200,"body":"smuggled"}`)
	s := serve(t, f, false, v2)
	begun := strings.Repeat("x", smallBody)
	for _, framing := range []string{"Content-Length: 100000\r\n\r\n" + begun, fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", smallBody, begun)} {
		conn := dial(t, s)
		r := bufio.NewReader(conn)
		fmt.Fprintf(conn, "POST /.netlify/functions/fn?%%zz HTTP/1.1\r\nHost: localhost\r\n%s", framing)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text(t, res); res.StatusCode != 400 || !res.Close {
			t.Errorf("%.30q: %d, and the connection is kept", framing, res.StatusCode)
		}
		io.WriteString(conn, "POST "+invocations+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
		if res, err := http.ReadResponse(r, nil); err == nil {
			t.Errorf("%.30q: an answer to the body: %d %s", framing, res.StatusCode, text(t, res))
		}
	}
	if len(f.got) > 0 {
		t.Errorf("%d invocations", len(f.got))
	}
}

// TestSmallBodyComesWithEvent: and the connection serves the next request.
func TestSmallBodyComesWithEvent(t *testing.T) {
	f := giving(`{"statusCode":200}`)
	res := ask(f, request("POST", "/.netlify/functions/fn", "small"), v2)
	if res.StatusCode != 200 || f.got[0].Body != nil || !bytes.Contains(f.got[0].Event, []byte(`"body":"small"`)) || res.Header.Get("Connection") != "" {
		t.Errorf("%d %v %+v", res.StatusCode, res.Header, f.got)
	}
}

func TestLambdaInvokeOfStream(t *testing.T) {
	f, _, w := streaming(`{"statusCode":200,"headers":{"a":"b"}}`)
	go func() { io.WriteString(w, "text"); w.Close() }()
	res := ask(f, request("POST", invocations, ""))
	if body := text(t, res); res.StatusCode != 200 || body != `{"body":"text","headers":{"a":"b"},"isBase64Encoded":false,"statusCode":200}` {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for want, end := range map[string]func(w *io.PipeWriter){
		"RangeError":                    func(w *io.PipeWriter) { w.CloseWithError(&weir.FunctionError{Type: "RangeError"}) },
		"Function.ResponseSizeTooLarge": func(w *io.PipeWriter) { io.WriteString(w, strings.Repeat("x", 2000)); w.Close() },
		"Sandbox.Timedout":              func(w *io.PipeWriter) { w.CloseWithError(&weir.Error{Code: weir.TimedOut}) },
	} {
		f, body, w := streaming(`{"statusCode":200}`)
		f.limits.Response = 1000
		go end(w)
		res := ask(f, request("POST", invocations, ""))
		if got := text(t, res); res.Header.Get("X-Amz-Function-Error") != "Unhandled" || !strings.Contains(got, want) {
			t.Errorf("%s: %s", want, got)
		}
		<-body.closed
	}
}

const streamingInvocations = "/2021-11-15/functions/fn/response-streaming-invocations"

// TestLambdaEvents reads what InvokeWithResponseStream gets. (test/sdks holds it against AWS's own client.)
func TestLambdaEvents(t *testing.T) {
	f, _, w := streaming(`{"statusCode":200}`)
	go func() { io.WriteString(w, "one"); io.WriteString(w, "two"); w.Close() }()
	res := ask(f, request("POST", streamingInvocations, ""))
	got := events(t, []byte(text(t, res)))
	want := []string{"PayloadChunk {\"statusCode\":200}\x00\x00\x00\x00\x00\x00\x00\x00", "PayloadChunk one", "PayloadChunk two", "InvokeComplete {}"}
	if !slices.Equal(got, want) || res.Header.Get("Content-Type") != "application/vnd.amazon.eventstream" {
		t.Errorf("%q %v", got, res.Header)
	}
	res = ask(giving(`{"a":1}`), request("POST", streamingInvocations, ""))
	if got := events(t, []byte(text(t, res))); !slices.Equal(got, []string{`PayloadChunk {"a":1}`, "InvokeComplete {}"}) {
		t.Errorf("%q", got)
	}
	f, _, w = streaming(`{"statusCode":200}`)
	go w.CloseWithError(&weir.FunctionError{Type: "RangeError", Message: "on purpose", Trace: []string{}})
	got = events(t, []byte(text(t, ask(f, request("POST", streamingInvocations, "")))))
	if last := got[len(got)-1]; !strings.Contains(last, `"ErrorCode":"RangeError"`) || !strings.Contains(last, "on purpose") {
		t.Errorf("%q", got)
	}
	if res := ask(giving(`1`), request("POST", "/2021-11-15/functions/fn/invocations", "")); res.StatusCode != 404 {
		t.Errorf("a call of the other version: %d", res.StatusCode)
	}
}

// events takes messages apart and checks their sums.
func events(t *testing.T, b []byte) []string {
	t.Helper()
	var out []string
	for len(b) > 0 {
		size, headers := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		m := b[:size]
		b = b[size:]
		if crc32.ChecksumIEEE(m[:8]) != binary.BigEndian.Uint32(m[8:]) || crc32.ChecksumIEEE(m[:size-4]) != binary.BigEndian.Uint32(m[size-4:]) {
			t.Error("a checksum is wrong")
		}
		kind := "PayloadChunk"
		if bytes.Contains(m[12:12+headers], []byte("InvokeComplete")) {
			kind = "InvokeComplete"
		}
		out = append(out, kind+" "+string(m[12+headers:size-4]))
	}
	return out
}

func dial(t *testing.T, s *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
