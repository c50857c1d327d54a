package api

// Bodies are read up to a bound, and must be one JSON value.

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// Bounds of bodies that are read into memory. A declaration names up to 100,000 files.
const (
	maxBody        = 1 << 20
	maxVariables   = 16 << 20
	maxDeclaration = 32 << 20
)

// What becomes of a large body in memory is many times its size.
const (
	maxLarge  = 16        // bodies of more than maxBody at a time,
	largeEach = 4         // and of them of one token
	maxMarks  = 1_000_000 // commas, colons and opening brackets, which bound the values
)

// decode reads a body of JSON into v. An empty one leaves it as it is. Netlify's clients send members that nobody
// here reads; in Weir's own calls those are errors (strict).
func (c *call) decode(v any, limit int64, strict bool) error {
	if c.r.ContentLength < 0 || c.r.ContentLength > maxBody {
		if c.large = c.bodies.begin(c.who.ID); !c.large {
			return &weir.Error{Code: weir.Busy, Message: "too many large bodies are being read at a time", Remedy: "come again later"}
		}
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.body(), limit))
	if err != nil {
		return badBody(err)
	}
	if c.route.large {
		if err := c.place(); err != nil {
			return err
		}
	}
	marks := 0
	for _, mark := range []string{",", ":", "{", "["} {
		marks += bytes.Count(text, []byte(mark))
	}
	if marks > maxMarks {
		return &weir.Error{Code: weir.TooLarge, Message: "the request's body holds more values than this call takes"}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if strict {
		dec.DisallowUnknownFields()
	}
	err = dec.Decode(v)
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
	return badBody(err)
}

func badBody(err error) error {
	var tooLarge *http.MaxBytesError
	var own *weir.Error
	switch {
	case errors.As(err, &tooLarge):
		return &weir.Error{Code: weir.TooLarge, Message: "the request's body is larger than this call takes"}
	case errors.As(err, &own):
		return own
	}
	return &weir.Error{Code: weir.Invalid, Message: "the request's body is not the JSON that this call takes: " + printable(err.Error())}
}

// body is the request's body, each piece of which must come in time. One that ends early is the client's fault.
func (c *call) body() io.ReadCloser { return body{c} }

type body struct{ *call }

func (b body) Read(p []byte) (int, error) {
	readUntil(b.w, time.Now().Add(b.silent))
	n, err := b.r.Body.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		readUntil(b.w, time.Time{})
	case err != nil:
		err = &weir.Error{Code: weir.Invalid, Message: "the request's body ended early", Remedy: "send it again", Err: err}
	}
	return n, err
}

func (b body) Close() error { return b.r.Body.Close() }
