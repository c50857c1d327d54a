package api

// What costs the server much is bounded, for all together and for each token: none takes the places of all others.

import (
	"context"
	"sync"
)

// places counts what is under way. It is made by newPlaces.
type places struct {
	most, each int // in all, and of one token

	mu   sync.Mutex
	all  int
	by   map[string]int // by the token's id
	free chan struct{}  // closed when there may be a place; nil: nobody waits
}

func newPlaces(most, each int) *places { return &places{most: most, each: each, by: map[string]int{}} }

// wait waits for a place for one more of a token's, and tells whether there was one before ctx ended; then end must be
// called.
func (p *places) wait(ctx context.Context, token string) bool {
	for !p.begin(token) {
		p.mu.Lock()
		if p.free == nil {
			p.free = make(chan struct{})
		}
		free := p.free
		p.mu.Unlock()
		if p.begin(token) { // it became free in between
			return true
		}
		select {
		case <-free:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// begin tells whether there is a place for one more of a token's; then end must be called.
func (p *places) begin(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= p.most || p.by[token] >= p.each {
		return false
	}
	p.all++
	p.by[token]++
	return true
}

func (p *places) end(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free != nil {
		close(p.free)
		p.free = nil
	}
	p.all--
	if p.by[token]--; p.by[token] == 0 {
		delete(p.by, token)
	}
}
