package natsstore

// Values: a bucket of NATS for each.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// markerTTL is how long it stays known that a value was deleted, for those who watch.
const markerTTL = time.Hour

type kv struct{ bucket jetstream.KeyValue }

// KV is store.Store's.
func (s *Store) KV(ctx context.Context, bucket string) (store.KV, error) {
	return once(s, "bucket", bucket, func() (store.KV, error) {
		b, err := s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, History: 1, Storage: jetstream.FileStorage,
			Replicas: s.o.Replicas, LimitMarkerTTL: markerTTL})
		return kv{b}, err
	})
}

func (k kv) Get(ctx context.Context, key string) (store.Entry, error) {
	e, err := k.bucket.Get(ctx, key)
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

func (k kv) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := checkSize(key, value); err != nil {
		return 0, err
	}
	rev, err := k.bucket.Create(ctx, key, value)
	return rev, changed(err)
}

func (k kv) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := checkSize(key, value); err != nil {
		return 0, err
	}
	rev, err := k.bucket.Update(ctx, key, value, revision)
	return rev, changed(err)
}

func (k kv) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := checkSize(key, value); err != nil {
		return 0, err
	}
	rev, err := k.bucket.Put(ctx, key, value)
	return rev, unreachable(err)
}

func (k kv) Delete(ctx context.Context, key string, revision uint64) error {
	opts := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(markerTTL)}
	if revision != 0 {
		opts = append(opts, jetstream.LastRevision(revision))
	}
	return changed(k.bucket.Purge(ctx, key, opts...))
}

func checkSize(key string, value []byte) error {
	if len(value) > store.MaxValue {
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("%s would have %d bytes, and at most %d fit", key, len(value), store.MaxValue)}
	}
	return nil
}

// changed tells a lost compare-and-set from other errors.
func changed(err error) error {
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return fmt.Errorf("%w", store.ErrConflict)
	}
	return unreachable(err)
}

func (k kv) List(ctx context.Context, prefix string) ([]store.Entry, error) {
	var out []store.Entry
	err := k.watch(ctx, prefix, func(c store.Change) error {
		if c.Current {
			return errEnough
		}
		out = append(out, c.Entry)
		return nil
	}, jetstream.IgnoreDeletes())
	if !errors.Is(err, errEnough) {
		return nil, err
	}
	slices.SortFunc(out, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func (k kv) Keys(ctx context.Context, prefix string) ([]string, error) {
	var out []string
	err := k.watch(ctx, prefix, func(c store.Change) error {
		if c.Current {
			return errEnough
		}
		out = append(out, c.Key)
		return nil
	}, jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	if !errors.Is(err, errEnough) {
		return nil, err
	}
	slices.Sort(out)
	return out, nil
}

var errEnough = errors.New("enough")

func (k kv) Watch(ctx context.Context, prefix string, each func(store.Change) error) error {
	return k.watch(ctx, prefix, each)
}

func (k kv) watch(ctx context.Context, prefix string, each func(store.Change) error, opts ...jetstream.WatchOpt) error {
	filter := ">"
	if prefix != "" {
		filter = prefix + ".>"
	}
	w, err := k.bucket.Watch(ctx, filter, opts...)
	if err != nil {
		return unreachable(err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return unreachable(cmpErr(ctx.Err(), errors.New("the watch has ended")))
			}
			c := store.Change{Current: true}
			if e != nil {
				c = store.Change{Entry: entry(e), Deleted: e.Operation() != jetstream.KeyValuePut}
			}
			if err := each(c); err != nil {
				return err
			}
		}
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
