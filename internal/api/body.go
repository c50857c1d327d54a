package api

// Bodies are read up to a bound, and must be one JSON value.

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/weir-run/weir/internal/weir"
)

// Bounds of bodies that are read into memory. A declaration names up to 100,000 files.
const (
	maxBody        = 1 << 20
	maxVariables   = 16 << 20
	maxDeclaration = 32 << 20
)

// decode reads a body of JSON into v. An empty one leaves it as it is. Netlify's clients send members that nobody
// here reads; in Weir's own calls those are errors (strict).
func (c *call) decode(v any, limit int64, strict bool) error {
	dec := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, limit))
	if strict {
		dec.DisallowUnknownFields()
	}
	err := dec.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("more than one value")
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &weir.Error{Code: weir.TooLarge, Message: "the request's body is larger than this call takes"}
	}
	return &weir.Error{Code: weir.Invalid, Message: "the request's body is not the JSON that this call takes: " + printable(err.Error())}
}
