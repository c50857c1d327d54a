package server

// What a function throws stands in its site's logs, as if it had printed it: who wrote the function sees the stack nowhere
// else, for the log of the server is another's.

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/invoke"
	"github.com/weir-run/weir/internal/weir"
)

// throwing is a backend that tells the log what its function throws, once clean has put something else in the place of
// values.
type throwing struct {
	invoke.Backend
	log   func(instance.Line)
	clean func(string) string
}

func (b throwing) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, invoke.InstanceInfo, error) {
	res, info, err := b.Backend.Invoke(ctx, inv)
	tell := func(e *weir.FunctionError) {
		line := instance.Line{Time: time.Now(), Function: inv.Function, Instance: info.ID, Request: inv.ID, Stream: "stderr", Text: b.clean(e.Error())}
		if len(e.Trace) == 0 {
			b.log(line)
		}
		for _, text := range e.Trace { // it is bounded, and was taken from what the invocation may print
			line.Text = b.clean(text)
			b.log(line)
		}
	}
	var thrown *weir.FunctionError
	switch {
	case res.Error != nil:
		tell(res.Error)
	case errors.As(err, &thrown): // it can't be loaded
		tell(thrown)
	case res.Stream != nil:
		res.Stream.Body = &throwingBody{res.Stream.Body, tell}
	}
	return res, info, err
}

// throwingBody tells what a function throws in the midst of its answer.
type throwingBody struct {
	io.ReadCloser
	tell func(*weir.FunctionError)
}

func (b *throwingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var thrown *weir.FunctionError
	if b.tell != nil && errors.As(err, &thrown) {
		b.tell(thrown)
		b.tell = nil // once
	}
	return n, err
}
