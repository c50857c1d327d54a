package instance

// Whether a function loads: what a build must know of a form of it that it has a substitute for.

import (
	"context"
)

// Try starts an instance of a function, which loads its code, and ends it again. Nothing is called in it.
// The error is what kept it from loading. The pool of cfg is none: only what an instance needs is used.
func Try(ctx context.Context, cfg Config) error {
	cfg.host = &host{function: cfg.Function, engine: cfg.Engine, logger: cfg.Logger}
	in, err := newInstance(ctx, &cfg, cfg.Engine.Policy().Limits.WithDefaults(), nil)
	if err != nil {
		return err
	}
	in.end()
	return nil
}
