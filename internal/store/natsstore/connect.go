package natsstore

// The connection to the server that keeps all, and what may be wrong with one that is elsewhere.

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-run/weir/internal/weir"
)

// patience is for how long a server is waited for that isn't there yet: it may be starting, too.
const patience = 5 * time.Second

// connect connects to the embedded server, or to that elsewhere.
func (s *Store) connect(ctx context.Context) (err error) {
	options := []nats.Option{nats.Name("weir"), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.IgnoreAuthErrorAbort(), // credentials that don't count now may count again when NATS is whole, or when they are renewed
		nats.DisconnectErrHandler(s.disconnected), nats.ReconnectHandler(s.reconnected),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.o.Logger.Warn("store: NATS says no", "error", weir.Printable(weir.Cut(err.Error(), 1<<10)))
		})}
	if s.own != nil {
		options = append(options, nats.InProcessServer(s.own))
	} else if s.o.Creds != "" {
		options = append(options, nats.UserCredentials(s.o.Creds))
	}
	for end := time.Now().Add(patience); ; {
		s.conn, err = nats.Connect(s.o.URL, options...)
		if !errors.Is(err, nats.ErrNoServers) || time.Now().After(end) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(patience / 20):
		}
	}
	if err == nil {
		s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncTimeout(timeout), jetstream.WithDefaultTimeout(timeout))
	}
	return elsewhere(s.o.URL, err)
}

// What NATS says if it has no server that could keep another copy, or is no cluster (JSClusterNoPeersErrF,
// JSStreamReplicasNotSupportedErr of nats-server).
const (
	noPeers              = 10005
	replicasNotSupported = 10074
)

// askedTime is how long an answer is waited for that a cluster may not give at all: while nobody leads the servers that
// keep a stream, and when several ask at once for the same stream to be made.
const askedTime = 3 * time.Second

// notNow is what a cluster says while it has no leader (JSClusterNotAvailErr of nats-server).
const notNow = 10008

var errNoLeader = errors.New("its servers have no leader yet")

// answered asks for what may be asked for twice until there is an answer, for so long at most.
func answered[T any](ctx context.Context, s *Store, most time.Duration, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if s.own != nil { // which answers, late as it may be
		return ask(ctx)
	}
	for {
		asked, done := context.WithTimeout(ctx, askedTime)
		v, err := ask(asked)
		done()
		if !unanswered(err) {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, err
		case <-time.After(10 * lag):
		}
	}
}

// unanswered tells errors that say nothing about what was asked for.
func unanswered(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNoLeader) || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) ||
		errors.Is(err, jetstream.ErrBucketNotFound) || // it was made just before
		errors.As(err, &api) && api.ErrorCode == notNow
}

// elsewhere says what is wrong with the server at a URL, or with how it was named. "": it is embedded.
func elsewhere(at string, err error) error {
	if err == nil || at == "" {
		return unreachable(err)
	}
	out := &weir.Error{Code: weir.Invalid, Message: "the store at " + withoutSecrets(at), Err: err}
	var api *jetstream.APIError
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		out.Message += " can't be used: the credentials can't be read"
		out.Remedy = "name a file of this user's with --nats-creds, as nsc makes them"
	case errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) ||
		errors.Is(err, nats.ErrPermissionViolation):
		out.Message += " does not accept the credentials"
		out.Remedy = "name others with --nats-creds, or let these use JetStream: they must create streams"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrNoResponders):
		out.Code, out.Message = weir.Unavailable, out.Message+" has no JetStream for this account, or not yet"
		out.Remedy = "start NATS with JetStream (nats-server -js), and allow it for the account"
	case errors.As(err, &api) && (api.ErrorCode == noPeers || api.ErrorCode == replicasNotSupported):
		out.Message += " has too few servers for so many copies"
		out.Remedy = "name fewer with --nats-replicas, or wait until the cluster is whole"
	case unanswered(err):
		out.Code, out.Message = weir.Unavailable, out.Message+" gives no answer"
		out.Remedy = "see whether more than half of the cluster's servers run"
	default:
		out.Code, out.Message = weir.Unavailable, out.Message+" can't be reached"
		out.Remedy = "see whether NATS runs there, and what --nats says"
	}
	return out
}

// withoutSecrets gives URLs as they may be shown.
func withoutSecrets(urls string) string {
	all := strings.Split(urls, ",")
	for i, text := range all {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Host == "" {
			_, all[i], _ = strings.Cut(text, "@")
			continue
		}
		u.User = nil
		all[i] = u.String()
	}
	return weir.Cut(weir.Printable(strings.Join(all, ", ")), 300)
}

func (s *Store) disconnected(*nats.Conn, error) {
	s.watches.Lock()
	defer s.watches.Unlock()
	s.lost = time.Now()
}

func (s *Store) reconnected(*nats.Conn) {
	s.watches.Lock()
	defer s.watches.Unlock()
	if time.Since(s.lost) > s.o.remembered/2 {
		close(s.missing)
		s.missing = make(chan struct{})
	}
}
