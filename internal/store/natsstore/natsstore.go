package natsstore

// Opening: the embedded server, or the connection to another.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// startTime is how long the embedded server may take to read what it holds.
const startTime = time.Minute

// Options say where the store is. Exactly one of Dir and URL is set.
type Options struct {
	Dir      string // of the embedded server; made if need be, for its owner only
	URL      string // of another server or cluster: nats://host:port, several with commas; tls:// for TLS
	Creds    string // file with the credentials for URL, "" for none
	Replicas int    // copies that a cluster keeps; 0: 1
	Sync     bool   // what is acknowledged survives a power cut, too: every write waits for the disk
	Logger   *slog.Logger
}

// Store is a store.Store.
type Store struct {
	o      Options
	server *server.Server // nil: elsewhere
	lock   *os.File       // on Dir
	conn   *nats.Conn
	js     jetstream.JetStream
	blobs  *blobs

	mu   sync.Mutex
	made map[string]any // buckets, streams and queues, by kind and name
}

// Open opens a store. Errors are *weir.Error: Invalid if the folder can't be used or another process uses it,
// Unavailable if the server can't be reached.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Replicas = max(1, o.Replicas)
	s := &Store{o: o, made: map[string]any{}}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	connect := []nats.Option{nats.Name("weir"), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond)}
	if o.URL == "" {
		if err := s.embed(); err != nil {
			return nil, err
		}
		connect = append(connect, nats.InProcessServer(s.server))
	} else if o.Creds != "" {
		connect = append(connect, nats.UserCredentials(o.Creds))
	}
	if s.conn, err = nats.Connect(o.URL, connect...); err != nil {
		return nil, unreachable(err)
	}
	if s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncMaxPending(maxPending), jetstream.WithDefaultTimeout(10*time.Second)); err != nil {
		return nil, unreachable(err)
	}
	if s.blobs, err = s.openBlobs(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// embed starts the server in this process. It listens nowhere.
func (s *Store) embed() error {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "the store can't be kept in " + s.o.Dir, Err: err, Remedy: "name a folder that this user may write to"}
	}
	lock, err := os.OpenFile(filepath.Join(s.o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "the store in " + s.o.Dir + " can't be locked", Err: err}
	}
	s.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "another process uses the store in " + s.o.Dir, Remedy: "stop it, or name another state directory"}
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "weir", DontListen: true, NoSigs: true, JetStream: true, StoreDir: s.o.Dir,
		SyncAlways: s.o.Sync, DisableJetStreamBanner: true, MaxPayload: 1 << 20,
	})
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "the store in " + s.o.Dir + " can't be opened", Err: err}
	}
	srv.SetLoggerV2(logger{s.o.Logger}, false, false, false)
	s.server = srv
	srv.Start()
	if !srv.ReadyForConnections(startTime) || !srv.JetStreamEnabled() {
		return &weir.Error{Code: weir.Invalid, Message: "the store in " + s.o.Dir + " can't be read", Remedy: "see the log; is the disk full?"}
	}
	return nil
}

// Close ends the connection, and the embedded server.
func (s *Store) Close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

// Blobs is store.Store's.
func (s *Store) Blobs() store.Blobs { return s.blobs }

var validName = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// once gives what was made under a kind and name, and makes it at the first time.
func once[T any](s *Store, kind, name string, make func() (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.made[kind+name]; ok {
		return have.(T), nil
	}
	var none T
	if !validName.MatchString(name) {
		return none, fmt.Errorf("%q is no name for a %s", name, kind)
	}
	v, err := make()
	if err != nil {
		return none, unreachable(err)
	}
	s.made[kind+name] = v
	return v, nil
}

// unreachable wraps what NATS says, unless it is the caller's own doing.
func unreachable(err error) error {
	var own *weir.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	return &weir.Error{Code: weir.Unavailable, Message: "the store can't be reached", Err: err, Remedy: "try again; if it stays so, see the server's log"}
}

// logger gives what the embedded server has to say to slog.
type logger struct{ to *slog.Logger }

func (l logger) Noticef(f string, a ...any) { l.to.Debug("store: " + fmt.Sprintf(f, a...)) }
func (l logger) Warnf(f string, a ...any)   { l.to.Warn("store: " + fmt.Sprintf(f, a...)) }
func (l logger) Errorf(f string, a ...any)  { l.to.Error("store: " + fmt.Sprintf(f, a...)) }
func (l logger) Fatalf(f string, a ...any)  { l.to.Error("store: " + fmt.Sprintf(f, a...)) }
func (l logger) Debugf(string, ...any)      {}
func (l logger) Tracef(string, ...any)      {}
