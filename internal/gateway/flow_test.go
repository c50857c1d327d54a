package gateway

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
)

// TestStreamsAreCompressedAsTheyAreMade: every piece arrives whole before the next one is made.
func TestStreamsAreCompressedAsTheyAreMade(t *testing.T) {
	bothVersions(t, func(t *testing.T, http2 bool) {
		for encoding, open := range map[string]func(io.Reader) (io.Reader, error){
			"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
			"br":   func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
		} {
			f, _, w := streaming(`{"headers":{"content-type":"text/html","etag":"\"1\""}}`)
			s := serve(t, f, http2)
			res := getEncoded(t, s.Client(), s.URL, encoding)
			go io.WriteString(w, "one\n")
			if res.Header.Get("Content-Encoding") != encoding || res.Header.Get("Vary") != "Accept-Encoding" || res.Header.Get("ETag") != `W/"1"` {
				t.Errorf("%s: %v", encoding, res.Header)
			}
			plain, err := open(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(plain)
			for _, want := range []string{"one\n", "two\n"} {
				if got, err := lines.ReadString('\n'); got != want || err != nil {
					t.Errorf("%s: %q %v, want %q", encoding, got, err, want)
				}
				if want == "one\n" {
					go func() { io.WriteString(w, "two\n"); w.Close() }()
				}
			}
			if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
				t.Errorf("%s: the end is %q, %v", encoding, rest, err)
			}
		}
	})
}

func getEncoded(t *testing.T, c *http.Client, url, encoding string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", url+"/.netlify/functions/fn", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", encoding)
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// TestStreamsThatStayAsTheyAre: events are read one by one by what has no decoder; what is compressed already, or says
// that it must not be changed, is not; and for one too many there is no room.
func TestStreamsThatStayAsTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		head   string
		change func(*Options)
	}{
		"events":       {`{"headers":{"content-type":"text/event-stream"}}`, nil},
		"compressed":   {`{"headers":{"content-type":"text/html","content-encoding":"zstd"}}`, nil},
		"no transform": {`{"headers":{"content-type":"text/html","cache-control":"no-transform"}}`, nil},
		"a picture":    {`{"headers":{"content-type":"image/png"}}`, nil},
		"no room": {`{"headers":{"content-type":"text/html"}}`, func(o *Options) {
			o.Compressed = NewCompressed(1)
			for range maxFlowing {
				o.Compressed.flowing <- struct{}{}
			}
		}},
	} {
		f, _, w := streaming(c.head)
		go func() { io.WriteString(w, "as it is"); w.Close() }()
		s := serve(t, f, false, func(o *Options) {
			if c.change != nil {
				c.change(o)
			}
		})
		res := getEncoded(t, s.Client(), s.URL, "gzip, br")
		if got := text(t, res); got != "as it is" || res.Header.Get("Content-Encoding") == "gzip" {
			t.Errorf("%s: %q %v", name, got, res.Header)
		}
	}
}

// TestRoomForStreamsIsGivenBack: also by one that breaks off.
func TestRoomForStreamsIsGivenBack(t *testing.T) {
	room := NewCompressed(1)
	for i := range 3 * maxFlowing {
		f, _, w := streaming(`{"headers":{"content-type":"text/html"}}`)
		go func() {
			io.WriteString(w, "x")
			if i%2 == 0 {
				w.CloseWithError(io.ErrUnexpectedEOF)
			}
			w.Close()
		}()
		s := serve(t, f, false, func(o *Options) { o.Compressed = room })
		res := getEncoded(t, s.Client(), s.URL, "gzip")
		if res.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("stream %d is not compressed", i)
		}
		io.Copy(io.Discard, res.Body)
		s.Close()
	}
}
