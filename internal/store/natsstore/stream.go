package natsstore

// Streams, and queues, which are streams whose messages go when somebody is done with them.

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-run/weir/internal/store"
)

// dedupe is how long an id is remembered.
const dedupe = 2 * time.Minute

type stream struct {
	s    *Store
	name string
	at   jetstream.Stream
}

// Stream is store.Store's.
func (s *Store) Stream(ctx context.Context, name string, bounds store.Bounds) (store.Stream, error) {
	return once(s, "stream", name, func() (store.Stream, error) {
		at, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "stream" + name, Subjects: []string{name + ".>"},
			Storage: jetstream.FileStorage, Replicas: s.o.Replicas, AllowDirect: true, Duplicates: dedupe,
			MaxAge: bounds.Age, MaxBytes: orNone(bounds.Bytes), MaxMsgsPerSubject: orNone(bounds.PerSubject), Discard: jetstream.DiscardOld})
		return &stream{s, name, at}, err
	})
}

// orNone gives a bound as NATS has it.
func orNone(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

func (s *stream) Append(ctx context.Context, subject, id string, data []byte) (uint64, error) {
	ack, err := s.s.js.Publish(ctx, s.name+"."+subject, data, withID(id)...)
	if err != nil {
		return 0, unreachable(err)
	}
	return ack.Sequence, nil
}

func withID(id string) []jetstream.PublishOpt {
	if id == "" {
		return nil
	}
	return []jetstream.PublishOpt{jetstream.WithMsgID(id)}
}

func (s *stream) filter(f string) string {
	if f == "" {
		f = ">"
	}
	return s.name + "." + f
}

func (s *stream) message(seq uint64, subject string, at time.Time, data []byte) store.Message {
	return store.Message{Seq: seq, Subject: strings.TrimPrefix(subject, s.name+"."), Time: at, Data: data}
}

func (s *stream) Read(ctx context.Context, filter string, from uint64, limit int) ([]store.Message, error) {
	var out []store.Message
	for next := max(1, from); len(out) < limit; {
		m, err := s.at.GetMsg(ctx, next, jetstream.WithGetMsgSubject(s.filter(filter)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, unreachable(err)
		}
		out = append(out, s.message(m.Sequence, m.Subject, m.Time, m.Data))
		next = m.Sequence + 1
	}
	return out, nil
}

// Last looks at more and more of the stream's end, until there are enough that fit.
func (s *stream) Last(ctx context.Context, filter string, n int) ([]store.Message, error) {
	info, err := s.at.Info(ctx)
	if err != nil {
		return nil, unreachable(err)
	}
	first, last := info.State.FirstSeq, info.State.LastSeq
	for span := uint64(4*n + 64); ; span *= 8 {
		from := first
		if last > span {
			from = max(first, last-span)
		}
		all, err := s.Read(ctx, filter, from, int(span)+1)
		if err != nil {
			return nil, err
		}
		if len(all) >= n || from == first {
			return all[max(0, len(all)-n):], nil
		}
	}
}

func (s *stream) Follow(ctx context.Context, filter string, from uint64, each func(store.Message) error) error {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{s.filter(filter)}, DeliverPolicy: jetstream.DeliverNewPolicy}
	if from > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, from
	}
	c, err := s.at.OrderedConsumer(ctx, cfg)
	if err != nil {
		return unreachable(err)
	}
	messages, err := c.Messages()
	if err != nil {
		return unreachable(err)
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		m, err := messages.Next()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return unreachable(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if err := each(s.message(meta.Sequence.Stream, m.Subject(), meta.Timestamp, m.Data())); err != nil {
			return err
		}
	}
}

type queue struct {
	s    *Store
	name string
	at   jetstream.Stream
	work jetstream.Consumer
}

// Queue is store.Store's.
func (s *Store) Queue(ctx context.Context, name string) (store.Queue, error) {
	return once(s, "queue", name, func() (store.Queue, error) {
		at, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "queue" + name, Subjects: []string{"queue." + name},
			Storage: jetstream.FileStorage, Replicas: s.o.Replicas, Retention: jetstream.WorkQueuePolicy, Duplicates: dedupe})
		if err != nil {
			return nil, err
		}
		work, err := at.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "work", AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: store.Patience, MaxDeliver: -1, MaxAckPending: maxTaken})
		return &queue{s, name, at, work}, err
	})
}

// maxTaken bounds the tasks that are taken or put off at a time.
const maxTaken = 100_000

func (q *queue) Add(ctx context.Context, id string, data []byte) error {
	_, err := q.s.js.Publish(ctx, "queue."+q.name, data, withID(id)...)
	return unreachable(err)
}

func (q *queue) Take(ctx context.Context) (store.Task, error) {
	for {
		batch, err := q.work.Fetch(1, jetstream.FetchContext(ctx))
		if err == nil {
			for m := range batch.Messages() {
				return task{m}, nil
			}
			err = batch.Error()
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && !errors.Is(err, jetstream.ErrNoMessages) && !errors.Is(err, context.DeadlineExceeded) {
			return nil, unreachable(err)
		}
	}
}

func (q *queue) Len(ctx context.Context) (int, error) {
	info, err := q.at.Info(ctx)
	if err != nil {
		return 0, unreachable(err)
	}
	return int(info.State.Msgs), nil
}

type task struct{ m jetstream.Msg }

func (t task) Data() []byte { return t.m.Data() }

func (t task) Taken() int {
	meta, err := t.m.Metadata()
	if err != nil {
		return 1
	}
	return int(meta.NumDelivered)
}

func (t task) Working(context.Context) error  { return unreachable(t.m.InProgress()) }
func (t task) Done(ctx context.Context) error { return unreachable(t.m.DoubleAck(ctx)) }
func (t task) Later(_ context.Context, after time.Duration) error {
	return unreachable(t.m.NakWithDelay(after))
}
