package instance

// Whether a function loads: what a build must know of a form of it that it has a substitute for.

import "context"

// Try starts an instance of a function, which loads its code, and ends it again. Nothing is called in it.
// The error is what kept it from loading.
func Try(ctx context.Context, cfg Config) error {
	p := NewPool(cfg)
	defer p.Close()
	f := cfg.Fleet
	f.mu.Lock()
	p.count()
	f.mu.Unlock()
	stop := context.AfterFunc(ctx, p.stop)
	defer stop()
	_, err := p.start(0)
	return err
}
