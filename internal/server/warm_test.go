package server

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// BenchmarkWarm measures one request to a warm function on one connection, through everything.
func BenchmarkWarm(b *testing.B) {
	s := serve(b, map[string]string{"netlify.toml": netlify, "functions/hello.js": handler("hello")})
	client := &http.Client{}
	for b.Loop() {
		r, err := client.Get("http://" + s.Addr() + "/.netlify/functions/hello")
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
}

// BenchmarkInvoke measures one invocation of a warm function without HTTP.
func BenchmarkInvoke(b *testing.B) {
	s := serve(b, map[string]string{"netlify.toml": netlify, "functions/hello.js": handler("hello")})
	for b.Loop() {
		if _, err := s.Invoke(b.Context(), weir.Invocation{Function: "hello", Event: json.RawMessage(`{}`)}); err != nil {
			b.Fatal(err)
		}
	}
}
