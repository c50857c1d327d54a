package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// hasty makes a gateway that loses its patience at once.
func hasty(o *Options) { o.patience = 50 * time.Millisecond }

// TestUnsentBodyHoldsNothing: who does not send the body of a request gets no instance, however the body was to
// come, and an answer.
func TestUnsentBodyHoldsNothing(t *testing.T) {
	const function = "/.netlify/functions/fn"
	f := giving(`{"statusCode":200}`)
	for _, s := range []*httptest.Server{serve(t, f, false, hasty), serve(t, f, false, hasty, v2)} {
		for name, request := range map[string]string{
			"small":            "POST " + function + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nsome of it",
			"nothing":          "POST " + function + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
			"large":            "POST " + function + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nsome of it",
			"length not known": "POST " + function + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\na\r\nsome of it\r\n",
			"Invoke API":       "POST " + invocations + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
		} {
			conn := dial(t, s)
			io.WriteString(conn, request)
			r := bufio.NewReader(conn)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(name, err)
			}
			if got := text(t, res); res.StatusCode != http.StatusRequestTimeout || !strings.Contains(got, "too slowly") {
				t.Errorf("%s: %d %s", name, res.StatusCode, got)
			}
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("%s: the connection is kept: %v", name, err)
			}
		}
	}
	if len(f.got) > 0 {
		t.Errorf("%d invocations", len(f.got))
	}
}

// TestStalledBodyIsCutOff: one that flows and then comes no further ends for the function, which can't hide it.
func TestStalledBodyIsCutOff(t *testing.T) {
	read := make(chan error, 2)
	whole := func(inv weir.Invocation) (weir.Result, error) {
		_, err := io.ReadAll(inv.Body)
		read <- err
		return weir.Result{Payload: json.RawMessage(`{"statusCode":200,"body":"all is well"}`)}, nil
	}
	begun := func(inv weir.Invocation) (weir.Result, error) {
		return weir.Result{Stream: &weir.Stream{Head: json.RawMessage(`{"statusCode":200}`), Body: io.NopCloser(&teller{inv.Body, read})}}, nil
	}
	for want, invoke := range map[int]func(weir.Invocation) (weir.Result, error){408: whole, 200: begun} {
		conn := dial(t, serve(t, &functions{invoke: invoke}, false, hasty, v2))
		fmt.Fprintf(conn, "POST /.netlify/functions/fn HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", smallBody))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(res.Body)
		if res.StatusCode != want || (err == nil) != (want == 408) {
			t.Errorf("%d %v, want %d", res.StatusCode, err, want)
		}
		if err := <-read; weir.ErrorCode(err) != weir.TooSlow {
			t.Errorf("the function read until %v", err)
		}
	}
}

// teller is a reader that hides how it ends, and tells it.
type teller struct {
	io.Reader
	ended chan error
}

func (r *teller) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		r.ended <- err
		err = io.EOF
	}
	return n, err
}

// TestUnreadAnswerHoldsNothing: a client that takes nothing of an answer ends the invocation.
func TestUnreadAnswerHoldsNothing(t *testing.T) {
	for _, request := range []string{
		"GET /.netlify/functions/fn HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST " + streamingInvocations + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
	} {
		f, body, w := streaming(`{"statusCode":200}`)
		io.WriteString(dial(t, serve(t, f, false, hasty)), request)
		go func() {
			for piece := strings.Repeat("x", pieceSize); ; {
				if _, err := io.WriteString(w, piece); err != nil {
					return
				}
			}
		}()
		<-body.closed
	}
}

// TestAnnouncedBodyTakesNoMemory: only what has come does.
func TestAnnouncedBodyTakesNoMemory(t *testing.T) {
	const length = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	body := io.MultiReader(strings.NewReader("some of it"), iotest.ErrReader(os.ErrDeadlineExceeded))
	if _, err := readAll(body, length, "fn", length); err == nil {
		t.Error("no error")
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > length/16 {
		t.Errorf("%d bytes were set aside", after.TotalAlloc-before.TotalAlloc)
	}
}

// TestUnreadAnswerIsGivenUp: one that is large lies in no memory for a client that takes nothing of it.
func TestUnreadAnswerIsGivenUp(t *testing.T) {
	f := giving(`{"statusCode":200,"body":"` + strings.Repeat("x", 32<<20) + `"}`)
	f.limits.Response = 64 << 20
	for _, request := range []string{
		"GET /.netlify/functions/fn HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST " + invocations + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
		"POST " + streamingInvocations + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
	} {
		s := serve(t, f, false, hasty)
		given, up := s.Config.Handler, make(chan struct{})
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			given.ServeHTTP(w, r)
			close(up)
		})
		conn := dial(t, s)
		io.WriteString(conn, request)
		<-up
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Errorf("%.20s: the answer seems whole: %d bytes", request, n)
		}
	}
}

// clock is the connection of a client that sends a byte now and then.
type clock struct {
	http.ResponseWriter
	every time.Duration
	until time.Time // what a Read may take
}

func (c *clock) SetReadDeadline(t time.Time) error { c.until = t; return nil }

func (c *clock) Read(p []byte) (int, error) {
	next := time.Now().Add(c.every)
	if c.until.Before(next) {
		time.Sleep(time.Until(c.until))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(time.Until(next))
	return 1, nil
}

func (c *clock) Close() error { return nil }

// TestDripsAreTooSlow: that something comes is not enough; and the time in which nobody reads is not the client's.
func TestDripsAreTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for every, ok := range map[time.Duration]bool{time.Second: false, patience / bodyPiece: true} {
			c := &clock{every: every}
			b := newPacedBody(c, &http.Request{Body: c}, patience)
			var err error
			for n := 0; n < 3*bodyPiece && err == nil; n++ {
				_, err = b.Read(make([]byte, 1))
				if n == bodyPiece/2 {
					time.Sleep(2 * patience)
				}
			}
			if (err == nil) != ok || !ok && weir.ErrorCode(err) != weir.TooSlow {
				t.Errorf("a byte each %v: %v", every, err)
			}
		}
	})
}
