package gateway

// Clients that ask and take nothing.

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-run/weir/internal/weir"
)

// stingy sends a request by HTTP/2 whose answer it gives no room, and waits until the server gives it up.
func stingy(t *testing.T, s *httptest.Server, path, body string) {
	t.Helper()
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", path}, {"content-length", fmt.Sprint(len(body))}} {
		encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	framer.WriteData(1, true, []byte(body))
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Errorf("the server waits for its answer to be taken: %v", err)
			return
		}
		if _, ok := f.(*http2.RSTStreamFrame); ok {
			return
		}
	}
}

// TestUntakenAnswersAreGivenUp: whatever the answer is, who takes nothing of it holds neither the stream nor room in
// memory.
func TestUntakenAnswersAreGivenUp(t *testing.T) {
	text := func(n int) string { return `{"statusCode":200,"body":"` + strings.Repeat("x", n) + `"}` }
	for name, f := range map[string]*functions{
		"small":  giving(text(10)),
		"middle": giving(text(pieceSize - 1)),
		"large":  giving(text(3 * pieceSize)),
		"thrown": throwing(&weir.FunctionError{Type: "Error", Message: strings.Repeat("x", pieceSize)}),
	} {
		t.Run(name, func(t *testing.T) {
			room := NewBodies(1 << 20)
			s := serve(t, f, true, hasty, func(o *Options) { o.Bodies = room })
			given, over := s.Config.Handler, make(chan struct{})
			s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				given.ServeHTTP(w, r)
				close(over)
			})
			stingy(t, s, "/.netlify/functions/fn", strings.Repeat("y", 8<<10))
			<-over
			if room.free != 1<<20 {
				t.Errorf("%d bytes of room are held", 1<<20-room.free)
			}
		})
	}
}

// TestBodiesAreNotHeldForAnswers: once its function has answered, a request's body takes no room.
func TestBodiesAreNotHeldForAnswers(t *testing.T) {
	room := NewBodies(1 << 20)
	var during int64
	w := &looker{ResponseRecorder: httptest.NewRecorder(), look: func() { during = room.free }}
	o := Options{Logger: quiet, Functions: giving(`{"statusCode":200,"body":"x"}`), AllowHost: func(string) bool { return true }, Bodies: room}
	New(o).ServeHTTP(w, request("POST", "/.netlify/functions/fn", "some body"))
	if during != 1<<20 {
		t.Errorf("while the answer is written, %d bytes are free", during)
	}
}

// looker calls look whenever something is written.
type looker struct {
	*httptest.ResponseRecorder
	look     func()
	deadline time.Time
}

func (l *looker) Write(p []byte) (int, error) { l.look(); return l.ResponseRecorder.Write(p) }

func (l *looker) SetWriteDeadline(t time.Time) error { l.deadline = t; return nil }

// TestLargeAnswersTakeRoom: answers that lie in memory until their clients have taken them do so within the bound of
// bodies, and give their room back.
func TestLargeAnswersTakeRoom(t *testing.T) {
	f := giving(`{"statusCode":200,"body":"` + strings.Repeat("x", 2*pieceSize) + `"}`)
	room := NewBodies(1 << 20)
	call := func() *http.Response {
		return ask(f, request("GET", "/.netlify/functions/fn", ""), func(o *Options) { o.Bodies = room })
	}
	room.Take("", 1<<20)
	if res := call(); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(text(t, res), "no room") {
		t.Errorf("without room: %d", res.StatusCode)
	}
	room.Give("", 1<<20)
	if res := call(); res.StatusCode != 200 || len(text(t, res)) != 2*pieceSize || room.free != 1<<20 {
		t.Errorf("with room: %d, %d bytes are free then", res.StatusCode, room.free)
	}
}

// TestPausesEndNoAnswer: while nothing is there to be taken, no deadline for taking it runs: with HTTP/2 it would end the
// answer.
func TestPausesEndNoAnswer(t *testing.T) {
	const pieces = 3
	var w *looker
	body := func() io.ReadCloser {
		n := 0
		return io.NopCloser(readerFunc(func(p []byte) (int, error) {
			if n > 0 && !w.deadline.IsZero() {
				t.Errorf("a deadline runs before piece %d", n)
			}
			if n++; n > pieces {
				return 0, io.EOF
			}
			return copy(p, "piece"), nil
		}))
	}
	streams := &functions{invoke: func(weir.Invocation) (weir.Result, error) {
		return weir.Result{Stream: &weir.Stream{Head: json.RawMessage(`{"statusCode":200}`), Body: body()}}, nil
	}}
	upstream := transport(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body(), ContentLength: -1}, nil
	})
	site := ruled(t, "/up/* https://up.test/:splat 200\n", "", nil)
	for _, path := range []string{"/.netlify/functions/fn", "/up/x"} {
		w = &looker{ResponseRecorder: httptest.NewRecorder(), look: func() {}}
		o := Options{Logger: quiet, Functions: streams, AllowHost: func(string) bool { return true }}
		site(&o)
		o.Proxy = upstream
		New(o).ServeHTTP(w, request("GET", path, ""))
		if got := w.Body.String(); got != strings.Repeat("piece", pieces) {
			t.Errorf("%s: %d %q", path, w.Code, got)
		}
	}
}

// transport is a way out.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
