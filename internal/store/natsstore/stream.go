package natsstore

// Streams: one of NATS for each of ours.

import (
	"cmp"
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-run/weir/internal/store"
)

// dedupe is how long an id is remembered.
const dedupe = 2 * time.Minute

type stream struct {
	s      *Store
	prefix string // of subjects
	at     jetstream.Stream
	owners *owners // nil: they have no bound
}

// makeTime is how long a stream may take to be made, by whichever of several servers that start at once.
const makeTime = 30 * time.Second

// makeStream makes a stream of NATS, or gives it the configuration that it should have.
func (s *Store) makeStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	return answered(ctx, s, s.o.making, func(ctx context.Context) (jetstream.Stream, error) { return s.tryStream(ctx, c) })
}

// tryStream makes a stream, or changes what of its configuration is not as it should be. The number of copies is never
// lowered: a server that was started without saying it would take them from all others.
func (s *Store) tryStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	c.Storage, c.Replicas = jetstream.FileStorage, s.o.Replicas
	c.AllowDirect = s.own != nil // in a cluster, any server that has a copy would be asked, which may not have heard yet of what was written
	asked := c.MaxBytes
	if c.MaxBytes > 0 {
		c.MaxBytes = min(asked, s.share())
	}
	have, err := s.js.Stream(ctx, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s.js.CreateStream(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	if in := have.CachedInfo().Cluster; in != nil && in.Leader == "" {
		return nil, errNoLeader
	}
	old := have.CachedInfo().Config
	c.Replicas = max(c.Replicas, old.Replicas)
	if c.MaxBytes > 0 { // nothing is forgotten because a disk has become full
		c.MaxBytes = max(c.MaxBytes, min(asked, old.MaxBytes))
	}
	if want := over(old, c); !reflect.DeepEqual(want, old) {
		return s.js.UpdateStream(ctx, want)
	}
	return have, nil
}

// over gives the configuration of a stream that is there with all that c says: what else it has is its keeper's.
func over(old, c jetstream.StreamConfig) jetstream.StreamConfig {
	old.Subjects, old.Replicas, old.Discard, old.AllowDirect = c.Subjects, c.Replicas, c.Discard, c.AllowDirect
	old.DenyDelete, old.AllowRollup, old.AllowMsgTTL, old.SubjectDeleteMarkerTTL = c.DenyDelete, c.AllowRollup, c.AllowMsgTTL, c.SubjectDeleteMarkerTTL
	old.MaxAge, old.MaxBytes, old.MaxMsgsPerSubject = c.MaxAge, orNone(c.MaxBytes), orNone(c.MaxMsgsPerSubject)
	old.Duplicates = cmp.Or(c.Duplicates, old.Duplicates)
	return old
}

// share is the most that a stream may set aside for itself of what the embedded server may take: NATS holds it back
// from all else, used or not.
func (s *Store) share() int64 {
	if s.own != nil {
		if _, most, err := s.own.room(); err == nil && most > 0 {
			return int64(most / 8)
		}
	}
	return math.MaxInt64
}

// Stream is store.Store's.
func (s *Store) Stream(ctx context.Context, name string, bounds store.Bounds) (store.Stream, error) {
	return once(s, "stream", name, func() (store.Stream, error) {
		remember := dedupe
		if bounds.Age > 0 { // NATS refuses to remember ids for longer than messages
			remember = min(dedupe, bounds.Age)
		}
		at, err := s.makeStream(ctx, jetstream.StreamConfig{Name: streamPrefix + name, Subjects: []string{subjectPrefix + name + ".>"}, Duplicates: remember,
			MaxAge: bounds.Age, MaxBytes: orNone(bounds.Bytes), MaxMsgsPerSubject: orNone(bounds.PerSubject), Discard: jetstream.DiscardOld})
		if err != nil {
			return nil, err
		}
		out := &stream{s: s, prefix: subjectPrefix + name + ".", at: at}
		if bounds.PerOwner > 0 && bounds.Bytes > 0 {
			most := at.CachedInfo().Config.MaxBytes
			out.owners = &owners{bytes: most, each: max(1, bounds.PerOwner*most/bounds.Bytes), came: map[string]int64{}}
		}
		return out, nil
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
	if err := cmp.Or(check(validKey, "subject", subject, "letters, digits, - and _, in parts joined by dots"), checkSize("the message", data, store.MaxMessage)); err != nil {
		return 0, err
	}
	var opts []jetstream.PublishOpt
	if id != "" {
		opts = append(opts, jetstream.WithMsgID(id))
	}
	var ack *jetstream.PubAck
	err := s.s.writing(ctx, func(ctx context.Context) (err error) {
		ack, err = s.s.js.Publish(ctx, s.prefix+subject, data, opts...)
		return err
	})
	if err != nil {
		return 0, unreachable(err)
	}
	if s.owners != nil {
		s.trim(ctx, subject)
	}
	return ack.Sequence, nil
}

func (s *stream) filter(f string) string {
	if f == "" {
		f = ">"
	}
	return s.prefix + f
}

func (s *stream) message(seq uint64, subject string, at time.Time, data []byte) store.Message {
	return store.Message{Seq: seq, Subject: strings.TrimPrefix(subject, s.prefix), Time: at, Data: data}
}

func (s *stream) Read(ctx context.Context, filter string, from uint64, limit int) ([]store.Message, error) {
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
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
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	info, err := s.at.Info(ctx)
	if err != nil {
		return nil, unreachable(err)
	}
	first, last := info.State.FirstSeq, info.State.LastSeq
	for span := uint64(n); ; span = 8*span + 64 {
		from := first
		if last >= span {
			from = max(first, last-span+1)
		}
		all, err := s.Read(ctx, filter, from, int(span))
		if err != nil {
			return nil, err
		}
		if len(all) >= n || from == first {
			return all[max(0, len(all)-n):], nil
		}
	}
}

func (s *stream) Follow(ctx context.Context, filter string, from uint64, each func(store.Message) error) error {
	if err := checkFilter(filter); err != nil {
		return err
	}
	if from == 0 { // a number, so that nothing is lost with the connection before the first message comes
		info, err := s.at.Info(ctx)
		if err != nil {
			return unreachable(err)
		}
		from = info.State.LastSeq + 1
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{s.filter(filter)}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from}
	return s.s.follow(ctx, s.at, cfg, nil, func(uint64) error { return nil }, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		return each(s.message(meta.Sequence.Stream, m.Subject(), meta.Timestamp, m.Data()))
	})
}
