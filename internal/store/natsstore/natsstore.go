package natsstore

// Opening: the embedded server, or the connection to another.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// timeout is of calls whose context has none.
const timeout = 10 * time.Second

// Options say where the store is. Exactly one of Dir and URL is set.
type Options struct {
	Dir      string // of the embedded server; made if need be, for its owner only
	URL      string // of another server or cluster: nats://host:port, several with commas; tls:// for TLS
	Creds    string // file with the credentials for URL, "" for none
	Replicas int    // copies that a cluster keeps; 0: 1
	Sync     bool   // what is acknowledged survives a power cut, too: every write waits for the disk
	Logger   *slog.Logger

	// Tests set these.
	remembered time.Duration // 0: remembered
	making     time.Duration // 0: makeTime
	most       int64         // bytes that the embedded server may take; 0: three quarters of what was free when it started
}

// Store is a store.Store.
type Store struct {
	o     Options
	own   *embedded // nil: the server is elsewhere
	conn  *nats.Conn
	js    jetstream.JetStream
	blobs *blobs

	mu   sync.Mutex
	made map[string]any // buckets and streams, by kind and name

	closed   chan struct{}
	closing  sync.Once
	watching sync.WaitGroup // for room, in which the embedded server is started anew

	watches sync.Mutex
	lost    time.Time     // when the connection was, last
	missing chan struct{} // closed when watches may have missed a change
}

// Open opens a store. Errors are *weir.Error: Invalid if the folder can't be used or another process uses it, or
// if the other server doesn't let this one do what it must; Unavailable if it can't be reached for a while.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Replicas, o.remembered, o.making = max(1, o.Replicas), cmp.Or(o.remembered, remembered), cmp.Or(o.making, makeTime)
	s := &Store{o: o, made: map[string]any{}, closed: make(chan struct{}), missing: make(chan struct{})}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if o.URL == "" {
		if s.own, err = embed(o); err != nil {
			return nil, err
		}
		s.watching.Go(func() { s.own.watch(s.closed) })
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	s.blobs, err = s.openBlobs(ctx)
	return s, elsewhere(o.URL, err)
}

// missed gives what is closed when a deletion may have been forgotten before those who watch heard of it.
func (s *Store) missed() <-chan struct{} {
	s.watches.Lock()
	defer s.watches.Unlock()
	return s.missing
}

// Close is store.Store's. It ends the embedded server, too.
func (s *Store) Close() { s.closing.Do(s.close) }

func (s *Store) close() {
	close(s.closed)
	s.watching.Wait()
	if s.conn != nil {
		s.conn.Close()
	}
	if s.own != nil {
		s.own.close()
	}
}

// Blobs is store.Store's.
func (s *Store) Blobs() store.Blobs { return s.blobs }

// once gives what was made under a kind and name, and makes it at the first time.
func once[T any](s *Store, kind, name string, make func() (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.made[kind+name]; ok {
		return have.(T), nil
	}
	var none T
	if err := checkName(kind+"'s name", name); err != nil {
		return none, err
	}
	v, err := make()
	if err != nil {
		return none, unreachable(err)
	}
	s.made[kind+name] = v
	return v, nil
}

// room refuses contents when the embedded server has little room left: without any, nothing could be removed either,
// because a removal is something written.
func (s *Store) room() error {
	if s.own == nil {
		return nil
	}
	has, most, err := s.own.room()
	if err != nil {
		return unreachable(err)
	}
	if full(has, most) {
		return noRoom(has, most)
	}
	return nil
}

// writing does what writes, and waits no longer for it than anybody can hear how it went.
func (s *Store) writing(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.own == nil {
		return do(ctx)
	}
	works := s.own.working()
	defer context.AfterFunc(works, cancel)()
	err := do(ctx)
	if err != nil && works.Err() != nil {
		return storeFull(fmt.Errorf("a write to its disk has failed: %v", err))
	}
	return err
}

func storeFull(err error) error {
	return &weir.Error{Code: weir.Unavailable, Message: "the store is full", Err: err, Remedy: "remove deploys, or make room on its disk"}
}

// The codes by which NATS says that it has no room (JSInsufficientResourcesErr, JSStorageResourcesExceededErr of
// nats-server), and that a write failed (JSStreamStoreFailedF).
const (
	insufficientResources    = 10023
	storageResourcesExceeded = 10047
	storeFailed              = 10077
)

// unreachable wraps what NATS says, unless it is the caller's own doing.
func unreachable(err error) error {
	var own *weir.Error
	var api *jetstream.APIError
	switch {
	case err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &api) && (api.ErrorCode == insufficientResources || api.ErrorCode == storageResourcesExceeded ||
		api.ErrorCode == storeFailed && outOfRoom(api.Description)):
		return storeFull(err)
	}
	return &weir.Error{Code: weir.Unavailable, Message: "the store can't be reached", Err: err, Remedy: "try again; if it stays so, see the server's log"}
}

// logger gives what the embedded server has to say to slog.
type logger struct {
	to     *slog.Logger
	failed func() // is told when a stream will take nothing more
}

func (l logger) Noticef(f string, a ...any) { l.to.Debug("store: " + fmt.Sprintf(f, a...)) }

// errPriorState is what nats-server says of an index that is older than what it is of.
const errPriorState = "prior state file"

func (l logger) Warnf(f string, a ...any) {
	text, level := "store: "+fmt.Sprintf(f, a...), slog.LevelWarn
	if strings.Contains(text, "outdated") || strings.HasSuffix(text, errPriorState) {
		level = slog.LevelDebug // an index that is made anew after the process was killed: as it must be
	}
	l.to.Log(context.Background(), level, text)
}
func (l logger) Errorf(f string, a ...any) {
	text := fmt.Sprintf(f, a...)
	if strings.Contains(text, criticalWrite) {
		l.failed()
	}
	l.to.Error("store: " + text)
}
func (l logger) Fatalf(f string, a ...any) { l.to.Error("store: " + fmt.Sprintf(f, a...)) }
func (l logger) Debugf(string, ...any)     {}
func (l logger) Tracef(string, ...any)     {}
