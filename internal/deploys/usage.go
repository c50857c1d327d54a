package deploys

// What a site takes of the store. A sweep counts what its deploys refer to, each content once; what is written for it
// afterwards is added, whatever becomes of it: the next sweep removes what nothing refers to, and counts again.

import (
	"fmt"

	"github.com/weir-run/weir/internal/weir"
)

// usage is what a site takes, in bytes, as this server knows it.
type usage struct {
	counted int64 // by the last sweep
	since   int64 // what was written here since that began
}

// spend counts what is about to be written for a site. Errors: weir.Invalid if the site would have too much.
func (s *Service) spend(site string, bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.used[site]
	if u == nil {
		u = &usage{}
		s.used[site] = u
	}
	if u.counted+u.since+bytes > s.o.Limits.Site {
		s.tidy()
		return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("the site would have more than %d MB in the store", s.o.Limits.Site>>20),
			Remedy: "remove deploys, which makes room within some minutes, or have the server's limit raised (--max-site-size)"}
	}
	u.since += bytes
	return nil
}

// refund takes back what was not written after all.
func (s *Service) refund(site string, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.used[site]; u != nil {
		u.since = max(0, u.since-bytes)
	}
}

// counting begins to count anew, and gives what takes the result.
func (s *Service) counting() func(bySite map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := map[string]int64{}
	for site, u := range s.used {
		before[site] = u.since
	}
	return func(bySite map[string]int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for site, u := range s.used {
			if u.counted, u.since = bySite[site], max(0, u.since-before[site]); u.counted+u.since == 0 {
				delete(s.used, site)
			}
		}
		for site, bytes := range bySite {
			if s.used[site] == nil {
				s.used[site] = &usage{counted: bytes}
			}
		}
	}
}

// roomFor refuses one deploy more than a site may have. Of several that are begun at the same moment, all may pass.
func (s *Service) roomFor(has int) error {
	if has < s.o.Limits.Deploys {
		return nil
	}
	s.tidy()
	return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("the site has %d deploys, and may have %d", has, s.o.Limits.Deploys),
		Remedy: "remove some (weir deploys delete), or have the server's limit raised (--max-site-deploys)"}
}

// tidy has old deploys, and what nothing refers to, removed soon.
func (s *Service) tidy() {
	select {
	case s.collect <- struct{}{}:
	default:
	}
}
