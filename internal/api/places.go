package api

// What costs the server much is bounded, for all together and for each token: none takes the places of all others.

import "sync"

// places counts what is under way. It is made by newPlaces.
type places struct {
	most, each int // in all, and of one token

	mu  sync.Mutex
	all int
	by  map[string]int // by the token's id
}

func newPlaces(most, each int) *places { return &places{most: most, each: each, by: map[string]int{}} }

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
	p.all--
	if p.by[token]--; p.by[token] == 0 {
		delete(p.by, token)
	}
}
