package deploys

// What of a deploy is there. Each server remembers what it knows of the deploys that it receives uploads for; the store
// knows it all, and is asked before anything follows from it.

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// progress is what a deploy consists of and what of it was received.
type progress struct {
	of       string // Declared and Known of the deploy
	contents contents
	read     time.Time
	took     time.Duration // to read it

	mu        sync.Mutex
	files     map[string]weir.DeployFile     // by SHA-1
	functions map[string]weir.DeployFunction // by SHA-256
	needs     Missing                        // what has to be there at all
	bytes     int64                          // that were uploaded
	wait      time.Duration                  // after which is looked what other servers have received
}

// maxRemembered bounds how many files a server remembers, of all deploys.
const maxRemembered = 200_000

// received gives what is there of a prepared deploy, as this server remembers it. Errors: errPast.
func (s *Service) received(ctx context.Context, r deployRecord) (*progress, error) {
	s.mu.Lock()
	p := s.progress[r.ID]
	s.mu.Unlock()
	if p != nil && p.of == r.Declared+r.Known {
		return p, nil
	}
	p, err := s.readReceived(ctx, r, false)
	if weir.ErrorCode(err) != weir.NotFound {
		return p, err
	}
	now, readErr := s.readDeploy(ctx, r.ID)
	switch {
	case readErr != nil:
		err = readErr
	case now.Declared+now.Known != r.Declared+r.Known:
		err = errPast
	}
	return nil, err
}

// errPast says that what was known of a deploy is past: it was processed, or other contents were declared.
var errPast = &weir.Error{Code: weir.Conflict, Message: "the deploy went on in the meantime", Remedy: "look at it again"}

// readReceived reads what is there of a prepared deploy, and remembers it. Unless anew, what somebody else has read
// meanwhile stays.
func (s *Service) readReceived(ctx context.Context, r deployRecord, anew bool) (*progress, error) {
	p := &progress{of: r.Declared + r.Known, read: s.now(), wait: lookTime}
	began := time.Now()
	s.mu.Lock()
	if last := s.progress[r.ID]; last != nil {
		p.wait = last.waited()
	}
	s.mu.Unlock()
	var k known
	if err := s.readDocument(ctx, r.Declared, &p.contents); err != nil {
		return nil, err
	}
	if err := s.readDocument(ctx, r.Known, &k); err != nil {
		return nil, err
	}
	p.files, p.functions = k.Files, k.Functions
	for sum := range setOf(p.contents.Files, func(sum string) string { return sum }) {
		p.needs.Files = append(p.needs.Files, sum)
	}
	for sum := range setOf(p.contents.Functions, func(f DeclaredFunction) string { return f.SHA256 }) {
		p.needs.Functions = append(p.needs.Functions, sum)
	}
	slices.Sort(p.needs.Files)
	slices.Sort(p.needs.Functions)
	entries, err := s.uploads.List(ctx, "received."+r.ID)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		var got received
		if err := decode(e.Value, &got); err != nil {
			return nil, err
		}
		p.add(e.Key[strings.LastIndexByte(e.Key, '.')+1:], got)
	}
	p.took = time.Since(began)
	return s.remember(r.ID, p, anew), nil
}

func (s *Service) remember(id string, p *progress, anew bool) *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.progress[id]; have != nil && have.of == p.of && !anew {
		return have
	}
	s.progress[id] = p
	for files := 0; ; files = 0 {
		for _, p := range s.progress {
			files += len(p.contents.Files) + 100
		}
		if files <= maxRemembered || len(s.progress) == 1 {
			return p
		}
		oldest := slices.MinFunc(slices.Collect(maps.Keys(s.progress)), func(a, b string) int { return s.progress[a].read.Compare(s.progress[b].read) })
		delete(s.progress, oldest)
	}
}

// due tells whether to look again what other servers have received: each time after twice the time if this one received
// nothing meanwhile, and never for much of the time.
func (p *progress) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.read) >= max(p.wait, 20*p.took)
}

// busy notes that this server has just received something.
func (p *progress) busy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait = lookTime
}

func (p *progress) waited() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(2*p.wait, time.Minute)
}

func setOf[K comparable, V any](m map[K]V, of func(V) string) map[string]bool {
	set := map[string]bool{}
	for _, v := range m {
		set[of(v)] = true
	}
	return set
}

func (s *Service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.progress, id)
}

// names tells whether a digest is one of these.
func (m *Missing) names(sum string) bool {
	_, file := slices.BinarySearch(m.Files, sum)
	_, function := slices.BinarySearch(m.Functions, sum)
	return file || function
}

// note notes what was received for a digest.
func (s *Service) note(id string, p *progress, sum string, got received) {
	p.add(sum, got)
	s.mu.Lock()
	now := s.progress[id]
	s.mu.Unlock()
	if now != nil && now != p { // it was read anew meanwhile
		now.add(sum, got)
		p = now
	}
	p.busy()
}

func (p *progress) add(sum string, got received) {
	if !p.needs.names(sum) || p.has(sum) { // an earlier declaration named it
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += got.Size
	if isSHA1.MatchString(sum) {
		p.files[sum] = weir.DeployFile{SHA1: sum, SHA256: got.SHA256, Size: got.Size}
	} else {
		p.functions[sum] = weir.DeployFunction{SHA256: sum, Size: got.Size, Runtime: got.Runtime, Config: weir.FunctionConfig{Background: got.Background}}
	}
}

func (p *progress) has(sum string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, file := p.files[sum]
	_, function := p.functions[sum]
	return file || function
}

func (p *progress) missing() Missing {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := Missing{Files: []string{}, Functions: []string{}}
	for _, sum := range p.needs.Files {
		if _, has := p.files[sum]; !has {
			m.Files = append(m.Files, sum)
		}
	}
	for _, sum := range p.needs.Functions {
		if _, has := p.functions[sum]; !has {
			m.Functions = append(m.Functions, sum)
		}
	}
	return m
}

// whole tells whether nothing is missing, as far as this server knows.
func (p *progress) whole() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.files) == len(p.needs.Files) && len(p.functions) == len(p.needs.Functions)
}

// manifest gives the manifest of a deploy that is whole, before its functions have been read.
func (p *progress) manifest() weir.Manifest {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := weir.Manifest{Files: make(map[string]weir.DeployFile, len(p.contents.Files)), Functions: map[string]weir.DeployFunction{}}
	for path, sum := range p.contents.Files {
		m.Files[path] = p.files[sum]
	}
	for name, declared := range p.contents.Functions {
		f := p.functions[declared.SHA256]
		background := f.Config.Background
		f.Config, f.Fault = declared.Config, ""
		f.Config.Background = f.Config.Background || background
		m.Functions[name] = f
	}
	return m
}
