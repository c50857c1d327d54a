package egress

// What a function and an upstream that work together hold of the server.

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// TestBodiesAreSentAsTheyCome: an upstream that answers to the first of a body, before the rest is sent, is not kept
// waiting for it.
func TestBodiesAreSentAsTheyCome(t *testing.T) {
	bySchemes(t, func(t *testing.T, url string) {
		for name, length := range map[string]int64{"length": 9, "chunks": -1} {
			t.Run(name, func(t *testing.T) {
				began := make(chan string, 1)
				w, _ := askedUpstream(t, func(c net.Conn, r *http.Request, nth int) {
					b := make([]byte, 5)
					io.ReadFull(r.Body, b)
					began <- string(b)
					io.Copy(io.Discard, r.Body)
					io.WriteString(c, answered)
				})
				body, more := io.Pipe()
				go func() {
					io.WriteString(more, "first")
					if got := <-began; got != "first" {
						t.Errorf("%q", got)
					}
					io.WriteString(more, "rest")
					more.Close()
				}()
				r, _ := http.NewRequest("POST", url, body)
				r.ContentLength = length
				resp, err := w.client(false).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Error(resp.Status)
				}
			})
		}
	})
}
