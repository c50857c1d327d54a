package gateway

// One form of error answers.

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/weir-run/weir/internal/weir"
)

// retryAfter is when a caller who found no room may come again, in seconds (RFC 9110, section 10.2.3).
const retryAfter = "1"

// mayRetry says so, if the same request may be served later.
func mayRetry(w http.ResponseWriter, err error) {
	if c := weir.ErrorCode(err); c == weir.Busy || c == weir.Unavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
}

// messageOf gives what a caller may read of an error: never its cause.
func messageOf(err error) (message, remedy string) {
	var e *weir.Error
	if !errors.As(err, &e) {
		return "an internal error", "see the server's log"
	}
	return e.Told(), e.Remedy
}

// Fail answers with an error that came up before any site's handler, as application/problem+json.
func Fail(w http.ResponseWriter, err error) {
	message, remedy := messageOf(err)
	mayRetry(w, err)
	problem(w, weir.ErrorCode(err).Status(), message, remedy)
}

// problem answers with an error as application/problem+json (RFC 9457).
func problem(w http.ResponseWriter, status int, message, remedy string) {
	p := map[string]any{"title": http.StatusText(status), "status": status, "detail": message}
	if remedy != "" {
		p["remedy"] = remedy
	}
	w.Header().Set("Content-Type", "application/problem+json")
	writeJSON(w, status, p)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // values of this package can always be written
	}
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	writePaced(w, b, patience) // the message of an error is as long as a function likes
}

// readAll reads a body whose length is known, or -1. That is the client's word: what room it takes grows with what
// comes.
func readAll(r io.Reader, length int64, name string, limit int64) ([]byte, error) {
	if length == 0 {
		return nil, nil
	}
	var tooLarge *http.MaxBytesError
	var b bytes.Buffer
	b.Grow(int(min(max(length, 0), smallBody)) + bytes.MinRead)
	n, err := b.ReadFrom(r)
	if err == nil && n < length {
		err = io.ErrUnexpectedEOF
	}
	switch {
	case errors.As(err, &tooLarge):
		return nil, requestTooLarge(name, limit)
	case err != nil:
		return nil, bodyError(err)
	}
	return b.Bytes(), nil
}

// bodyError says what an error means that a request's body ended with.
func bodyError(err error) error {
	var known *weir.Error
	if errors.As(err, &known) {
		return err
	}
	return &weir.Error{Code: weir.Invalid, Message: "the request's body ended early", Err: err}
}

// printable makes hostile text safe to show on one line. It escapes nothing: who writes it as JSON or to a
// log does.
func printable(s string) string {
	if len(s) > 200 {
		s = weir.Cut(s, 200) + "…"
	}
	return weir.Printable(s)
}
