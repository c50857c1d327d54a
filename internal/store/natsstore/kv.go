package natsstore

// Values: a bucket of NATS for each of ours.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// remembered is how long it stays known that a value was deleted, for those who watch and had lost the connection.
const remembered = time.Hour

type kv struct {
	s      *Store
	stream jetstream.Stream
	prefix string // of subjects
	bucket jetstream.KeyValue
}

// KV is store.Store's.
func (s *Store) KV(ctx context.Context, bucket string) (store.KV, error) {
	return once(s, "bucket", bucket, func() (store.KV, error) {
		// What NATS makes of a KeyValueConfig, but for AllowDirect: see makeStream.
		prefix := bucketSubjects + bucket + "."
		stream, err := s.makeStream(ctx, jetstream.StreamConfig{
			Name: bucketStream + bucket, Subjects: []string{prefix + ">"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
			DenyDelete: true, AllowRollup: true, AllowMsgTTL: true, SubjectDeleteMarkerTTL: remembered, Duplicates: dedupe,
		})
		if err != nil {
			return nil, err
		}
		b, err := answered(ctx, s, s.o.making, func(ctx context.Context) (jetstream.KeyValue, error) { return s.js.KeyValue(ctx, bucketPrefix+bucket) })
		return &kv{s, stream, prefix, b}, err
	})
}

func (k *kv) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := checkKey(key); err != nil {
		return store.Entry{}, err
	}
	e, err := answered(ctx, k.s, timeout, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return k.bucket.Get(ctx, key) })
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return store.Entry{}, &weir.Error{Code: weir.NotFound, Message: "there is no " + key}
	}
	if err != nil {
		return store.Entry{}, unreachable(err)
	}
	return entry(e), nil
}

func entry(e jetstream.KeyValueEntry) store.Entry {
	return store.Entry{Key: e.Key(), Value: e.Value(), Revision: e.Revision(), Time: e.Created()}
}

func (k *kv) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return k.write(ctx, key, value, func(ctx context.Context) (uint64, error) { return k.bucket.Create(ctx, key, value) })
}

func (k *kv) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return k.write(ctx, key, value, func(ctx context.Context) (uint64, error) {
		if revision == 0 { // NATS would take it for "there is none"
			return 0, store.ErrConflict
		}
		return k.bucket.Update(ctx, key, value, revision)
	})
}

func (k *kv) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return k.write(ctx, key, value, func(ctx context.Context) (uint64, error) { return k.bucket.Put(ctx, key, value) })
}

func (k *kv) write(ctx context.Context, key string, value []byte, do func(context.Context) (uint64, error)) (revision uint64, err error) {
	if err := cmp.Or(checkKey(key), checkSize(key, value, store.MaxValue)); err != nil {
		return 0, err
	}
	err = k.s.writing(ctx, func(ctx context.Context) (err error) {
		revision, err = do(ctx)
		return err
	})
	return revision, changed(err)
}

func (k *kv) Delete(ctx context.Context, key string, revision uint64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	opts := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(remembered)}
	if revision != 0 {
		opts = append(opts, jetstream.LastRevision(revision))
	}
	err := changed(k.s.writing(ctx, func(ctx context.Context) error { return k.bucket.Purge(ctx, key, opts...) }))
	if errors.Is(err, store.ErrConflict) {
		if _, gone := k.Get(ctx, key); weir.ErrorCode(gone) == weir.NotFound {
			return nil
		}
	}
	return err
}

// changed tells a lost compare-and-set from other errors.
func changed(err error) error {
	var api *jetstream.APIError
	lost := errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == wrongLastSequenceConstant)
	if lost || errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("%w", store.ErrConflict)
	}
	return unreachable(err)
}

// wrongLastSequenceConstant is what replicated streams say instead of JSErrCodeStreamWrongLastSequence
// (JSStreamWrongLastSequenceConstantErr of nats-server).
const wrongLastSequenceConstant = 10164

func (k *kv) List(ctx context.Context, prefix string) ([]store.Entry, error) {
	return k.current(ctx, prefix, false)
}

func (k *kv) Keys(ctx context.Context, prefix string) ([]string, error) {
	var out []string
	all, err := k.current(ctx, prefix, true)
	for _, e := range all {
		out = append(out, e.Key)
	}
	return out, err
}

// current gives what is there now, sorted by key.
func (k *kv) current(ctx context.Context, prefix string, keysOnly bool) ([]store.Entry, error) {
	for end := time.Now().Add(timeout); time.Now().Before(end); {
		last, err := k.last(ctx, prefix)
		if err != nil {
			return nil, err
		}
		all, seen, err := k.snapshot(ctx, prefix, keysOnly)
		if err != nil || seen >= last {
			return all, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lag):
		}
	}
	return nil, unreachable(errors.New("one of its servers does not keep up with the others"))
}

// lag is about how long a server of a cluster takes to hear of what was written.
const lag = 5 * time.Millisecond

// last gives the revision of what was written last below a prefix, 0 for nothing, by the server of a cluster that
// takes writes. What is there is read from any other one, which may not have heard of it yet.
func (k *kv) last(ctx context.Context, prefix string) (uint64, error) {
	if k.s.own != nil {
		return 0, nil
	}
	if err := checkPrefix(prefix); err != nil {
		return 0, err
	}
	m, err := answered(ctx, k.s, timeout, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return k.stream.GetLastMsgForSubject(ctx, k.below(prefix))
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, unreachable(err)
	}
	return m.Sequence, nil
}

// below gives the subjects of the keys below a prefix.
func (k *kv) below(prefix string) string {
	if prefix != "" {
		prefix += "."
	}
	return k.prefix + prefix + ">"
}

// snapshot gives what is there on a server that has seen all up to a revision, sorted by key.
func (k *kv) snapshot(ctx context.Context, prefix string, keysOnly bool) (_ []store.Entry, seen uint64, _ error) {
	there := map[string]store.Entry{}
	enough := errors.New("enough")
	err := k.watch(ctx, prefix, keysOnly, func(c store.Change) error {
		seen = max(seen, c.Revision)
		switch {
		case c.Current:
			return enough
		case c.Deleted:
			delete(there, c.Key)
		default:
			there[c.Key] = c.Entry
		}
		return nil
	})
	if err != enough {
		return nil, 0, err
	}
	return slices.SortedFunc(maps.Values(there), func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) }), seen, nil
}

func (k *kv) Watch(ctx context.Context, prefix string, each func(store.Change) error) error {
	return k.watch(ctx, prefix, false, each)
}

func (k *kv) watch(ctx context.Context, prefix string, keysOnly bool, each func(store.Change) error) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{k.below(prefix)}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: keysOnly}
	var there, came uint64
	current := func() error { return each(store.Change{Current: true}) }
	return k.s.follow(ctx, k.stream, cfg, k.s.missed(), func(n uint64) error {
		if there = n; n == 0 {
			return current()
		}
		return nil
	}, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if err := each(change(strings.TrimPrefix(m.Subject(), k.prefix), m, meta)); err != nil {
			return err
		}
		// Fewer than were there may come, if some of them were replaced in the meantime.
		if came++; there > 0 && (came == there || meta.NumPending == 0) {
			there = 0
			return current()
		}
		return nil
	})
}

// change reads a message of a bucket (NATS ADR-8: an operation, or the reason why a mark of a deletion is there).
func change(key string, m jetstream.Msg, meta *jetstream.MsgMetadata) store.Change {
	e := store.Entry{Key: key, Revision: meta.Sequence.Stream, Time: meta.Timestamp}
	if m.Headers().Get("KV-Operation") != "" || m.Headers().Get(jetstream.MarkerReasonHeader) != "" {
		return store.Change{Entry: e, Deleted: true}
	}
	e.Value = m.Data()
	return store.Change{Entry: e}
}
