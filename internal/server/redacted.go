package server

// What a function throws may hold the values of its variables. On a server they reach neither the log of who runs it, nor
// errors that others see than who called the function.

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/weir-run/weir/internal/invoke"
	"github.com/weir-run/weir/internal/weir"
)

// redacting is a backend in whose errors clean has put something else in the place of values.
type redacting struct {
	invoke.Backend
	clean func(string) string
}

func (b redacting) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, invoke.InstanceInfo, error) {
	res, info, err := b.Backend.Invoke(ctx, inv)
	var e *weir.Error
	if errors.As(err, &e) {
		told := *e
		told.Message = b.clean(e.Message)
		var thrown *weir.FunctionError
		switch {
		case errors.As(e.Err, &thrown):
			own := *thrown
			own.Type, own.Message, own.Trace = b.clean(own.Type), b.clean(own.Message), slices.Clone(own.Trace)
			for i := range own.Trace {
				own.Trace[i] = b.clean(own.Trace[i])
			}
			told.Err = &own
		case e.Err != nil:
			told.Err = cleanError{e.Err, b.clean(e.Err.Error())}
		}
		err = &told
	}
	return res, info, err
}

// cleanError is an error in other words.
type cleanError struct {
	error
	text string
}

func (e cleanError) Error() string { return e.text }
func (e cleanError) Unwrap() error { return e.error }

// cleanLog hands on what is logged, the texts of its attributes cleaned.
type cleanLog struct {
	slog.Handler
	clean func(string) string
}

func (h cleanLog) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.clean(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Resolve(); v.Kind() {
		case slog.KindString:
			a.Value = slog.StringValue(h.clean(v.String()))
		case slog.KindAny:
			if err, ok := v.Any().(error); ok {
				a.Value = slog.StringValue(h.clean(err.Error()))
			}
		}
		out.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h cleanLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return cleanLog{h.Handler.WithAttrs(attrs), h.clean}
}

func (h cleanLog) WithGroup(name string) slog.Handler {
	return cleanLog{h.Handler.WithGroup(name), h.clean}
}
