package natsstore

// In a stream that all share, nobody's messages drive out those of others: once half of it is taken, each owner keeps
// no more than a share.

import (
	"context"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// owners are those who have messages in a stream, by the first token of their subjects.
type owners struct {
	bytes int64 // of the stream, at most
	each  int64 // messages of one

	mu   sync.Mutex
	came map[string]int64 // messages that came from here since the owner was looked at last
}

// due counts a message, and tells whether to look at its owner: whoever has too many has few too many.
func (o *owners) due(owner string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.came[owner]++; o.came[owner] <= o.each/8 {
		return false
	}
	delete(o.came, owner)
	return true
}

// trim removes the oldest messages of the owner of a subject, if it has too many. The one that was just added is kept,
// whatever becomes of this: the next ones bring it about again.
func (s *stream) trim(ctx context.Context, subject string) {
	owner, _, _ := strings.Cut(subject, ".")
	if !s.owners.due(owner) {
		return
	}
	info, err := s.at.Info(ctx)
	if err == nil && int64(info.State.Bytes) > s.owners.bytes/2 {
		err = s.at.Purge(ctx, jetstream.WithPurgeSubject(s.prefix+owner+".>"), jetstream.WithPurgeKeep(uint64(s.owners.each)))
	}
	if err != nil {
		s.s.o.Logger.Warn("store: the messages of an owner can't be looked at", "error", err)
	}
}
