package api

// One form of error answers, which Netlify's clients can show.

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/weir"
)

var errMethod = &weir.Error{Code: weir.Invalid, Message: "this path takes other methods only"}

// status gives the HTTP status of an error. Netlify's clients repeat a request unless it is 400 or 422.
func status(err error) int {
	if errors.Is(err, errMethod) {
		return http.StatusMethodNotAllowed
	}
	switch c := weir.ErrorCode(err); c {
	case weir.Invalid, weir.Broken:
		return http.StatusUnprocessableEntity
	default:
		return c.Status()
	}
}

// pause is for how long a caller who is slowed should wait. Netlify's clients wait until X-RateLimit-Reset.
const pause = 5 * time.Second

// fail answers with an error. Its cause goes to the log only.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody reads the answer
	}
	s := status(err)
	e := &weir.Error{Code: weir.Internal, Message: "an internal error", Remedy: "see the server's log"}
	if s == http.StatusInternalServerError {
		a.Logger.Error("a call of the API failed", "method", r.Method, "path", printable(r.URL.Path), "error", weir.Printable(weir.Cut(err.Error(), 1000)))
	} else {
		errors.As(err, &e)
	}
	told := e.Told()
	if e.Remedy != "" {
		told += "; " + e.Remedy
	}
	h := w.Header()
	switch s {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(int(pause/time.Second)))
		h.Set("X-RateLimit-Remaining", "0")
		h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(pause).Unix(), 10))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	writeJSON(w, s, wire.Error{Code: s, Message: told, Msg: told, Weir: wire.ErrorInfo{Code: string(e.Code), Message: e.Told(), Remedy: e.Remedy}})
}
