package natsstore

// Blobs: the chunks of each are the messages of a subject of its own; a value in a bucket says which subject. So a
// blob is there when it is whole, or not at all.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

const (
	chunkSize = 256 << 10 // bytes of a message
	window    = 4         // messages of one blob that are on their way to the store at a time
)

type blobs struct {
	s      *Store
	stream jetstream.Stream
	index  store.KV // by digest
}

// place says where the chunks of a blob are.
type place struct {
	Subject string    `json:"subject"`
	Size    int64     `json:"size"`
	Time    time.Time `json:"time"`
}

func (s *Store) openBlobs(ctx context.Context) (*blobs, error) {
	stream, err := s.makeStream(ctx, jetstream.StreamConfig{Name: chunksName, Subjects: []string{chunksSubject + ">"}})
	if err != nil {
		return nil, err
	}
	index, err := s.KV(ctx, "blobs")
	return &blobs{s: s, stream: stream, index: index}, err
}

func (b *blobs) Put(ctx context.Context, r io.Reader, want string) (store.Blob, error) {
	subject := chunksSubject + nuid.Next()
	sum := sha256.New()
	size, err := b.write(ctx, subject, io.TeeReader(r, sum))
	digest := hex.EncodeToString(sum.Sum(nil))
	if err == nil && want != "" && digest != want {
		err = &weir.Error{Code: weir.Invalid, Message: "the content has the SHA-256 " + digest + ", not " + weir.Cut(weir.Printable(want), 80),
			Remedy: "send it again"}
	}
	if err != nil {
		b.purge(context.WithoutCancel(ctx), subject)
		return store.Blob{}, err
	}
	return b.settle(ctx, digest, place{subject, size, time.Now().UTC()})
}

// write writes what r gives and waits until all of it is kept.
func (b *blobs) write(ctx context.Context, subject string, r io.Reader) (size int64, err error) {
	var chunks [window][]byte
	var acks []jetstream.PubAckFuture
	for {
		chunk := &chunks[len(acks)]
		if *chunk == nil {
			*chunk = make([]byte, chunkSize)
		}
		if len(acks) == 0 {
			if err := b.s.room(); err != nil {
				return 0, err
			}
		}
		n, end := fill(r, *chunk)
		if n > 0 {
			ack, err := b.s.js.PublishAsync(subject, (*chunk)[:n])
			if err != nil {
				return 0, unreachable(err)
			}
			acks = append(acks, ack)
			size += int64(n)
		}
		if len(acks) == window || end != nil {
			if err := b.s.writing(ctx, func(ctx context.Context) error { return await(ctx, acks) }); err != nil {
				return 0, err
			}
			acks = acks[:0]
		}
		switch {
		case end == io.EOF:
			return size, nil
		case end != nil:
			return 0, end
		}
	}
}

// fill reads until p is full or the reader's error comes. io.ReadFull would make one error of a content that ends and
// of one that was cut off.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func await(ctx context.Context, acks []jetstream.PubAckFuture) error {
	for _, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			return unreachable(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// settle makes what was written the content of its digest, unless another one is.
func (b *blobs) settle(ctx context.Context, digest string, p place) (store.Blob, error) {
	for {
		have, rev, err := b.find(ctx, digest)
		found := err == nil
		if err != nil && weir.ErrorCode(err) != weir.NotFound {
			return store.Blob{}, err
		}
		kept := p
		if found { // of two that are equal, the first stays
			kept.Subject = have.Subject
		}
		value, err := json.Marshal(kept)
		if err != nil {
			return store.Blob{}, err
		}
		if found {
			_, err = b.index.Update(ctx, digest, value, rev)
		} else {
			_, err = b.index.Create(ctx, digest, value)
		}
		switch {
		case errors.Is(err, store.ErrConflict): // by who wrote or removed it at the same time
			continue
		case err != nil:
			return store.Blob{}, err
		case found:
			b.purge(context.WithoutCancel(ctx), p.Subject)
		}
		return store.Blob{SHA256: digest, Size: p.Size, Time: p.Time}, nil
	}
}

func (b *blobs) find(ctx context.Context, digest string) (place, uint64, error) {
	var p place
	if !isDigest.MatchString(digest) {
		return p, 0, noBlob(digest)
	}
	e, err := b.index.Get(ctx, digest)
	if weir.ErrorCode(err) == weir.NotFound {
		return p, 0, noBlob(digest)
	}
	if err != nil {
		return p, 0, err
	}
	return p, e.Revision, json.Unmarshal(e.Value, &p)
}

var isDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func noBlob(digest string) error {
	return &weir.Error{Code: weir.NotFound, Message: "there is no content with the SHA-256 " + weir.Cut(weir.Printable(digest), 80)}
}

func (b *blobs) Stat(ctx context.Context, digest string) (store.Blob, error) {
	p, _, err := b.find(ctx, digest)
	return store.Blob{SHA256: digest, Size: p.Size, Time: p.Time}, err
}

func (b *blobs) Open(ctx context.Context, digest string) (io.ReadCloser, store.Blob, error) {
	p, _, err := b.find(ctx, digest)
	if err != nil {
		return nil, store.Blob{}, err
	}
	return io.NopCloser(&reader{ctx: ctx, from: b, place: p, digest: digest, sum: sha256.New(), next: 1}),
		store.Blob{SHA256: digest, Size: p.Size, Time: p.Time}, nil
}

// reader reads the chunks of a blob, one message at a time.
type reader struct {
	ctx    context.Context
	from   *blobs
	place  place
	digest string
	sum    hash.Hash
	chunk  bytes.Reader
	read   int64
	next   uint64 // sequence number from which the next chunk is looked for
	done   int    // chunks that were read
	skip   int    // chunks that were read at another place
}

func (r *reader) Read(p []byte) (int, error) {
	for r.chunk.Len() == 0 {
		if r.read == r.place.Size {
			if hex.EncodeToString(r.sum.Sum(nil)) != r.digest {
				return 0, r.damaged(nil)
			}
			return 0, io.EOF
		}
		m, err := r.from.stream.GetMsg(r.ctx, r.next, jetstream.WithGetMsgSubject(r.place.Subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			if err := r.elsewhere(err); err != nil {
				return 0, err
			}
			continue
		}
		if err != nil {
			return 0, unreachable(err)
		}
		r.next = m.Sequence + 1
		if r.skip > 0 {
			r.skip--
			continue
		}
		r.done++
		if r.read += int64(len(m.Data)); r.read > r.place.Size {
			return 0, r.damaged(nil)
		}
		r.sum.Write(m.Data)
		r.chunk.Reset(m.Data)
	}
	return r.chunk.Read(p)
}

// elsewhere goes on where a content lies that was removed while it was read, and put again. Errors: weir.NotFound if it
// was only removed, weir.Internal if it should be where its chunk is missing. All chunks but the last have one size, so
// they are the same at each place.
func (r *reader) elsewhere(missing error) error {
	p, _, err := r.from.find(r.ctx, r.digest)
	switch {
	case err != nil:
		return err
	case p.Subject == r.place.Subject:
		return r.damaged(missing)
	}
	r.place, r.next, r.skip = p, 1, r.done
	return nil
}

func (r *reader) damaged(err error) error {
	return &weir.Error{Code: weir.Internal, Message: "the content with the SHA-256 " + r.digest + " is damaged", Err: err, Remedy: "deploy the site again"}
}

func (b *blobs) Delete(ctx context.Context, seen store.Blob) error {
	p, rev, err := b.find(ctx, seen.SHA256)
	switch {
	case weir.ErrorCode(err) == weir.NotFound:
		return nil
	case err != nil:
		return err
	case !p.Time.Equal(seen.Time):
		return store.ErrConflict
	}
	if err := b.index.Delete(ctx, seen.SHA256, rev); err != nil {
		return err
	}
	return b.purge(ctx, p.Subject)
}

func (b *blobs) purge(ctx context.Context, subject string) error {
	return unreachable(b.s.writing(ctx, func(ctx context.Context) error { return b.stream.Purge(ctx, jetstream.WithPurgeSubject(subject)) }))
}

func (b *blobs) List(ctx context.Context, each func(store.Blob) error) error {
	all, err := b.index.List(ctx, "")
	if err != nil {
		return err
	}
	for _, e := range all {
		var p place
		if err := json.Unmarshal(e.Value, &p); err != nil {
			return err
		}
		if err := each(store.Blob{SHA256: e.Key, Size: p.Size, Time: p.Time}); err != nil {
			return err
		}
	}
	return nil
}

// Tidy is store.Blobs's: subjects that no digest leads to.
func (b *blobs) Tidy(ctx context.Context, age time.Duration) error {
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(chunksSubject+">"))
	if err != nil {
		return unreachable(err)
	}
	known := map[string]bool{}
	all, err := b.index.List(ctx, "")
	if err != nil {
		return err
	}
	for _, e := range all {
		var p place
		if err := json.Unmarshal(e.Value, &p); err != nil {
			return err
		}
		known[p.Subject] = true
	}
	for subject := range info.State.Subjects {
		if known[subject] {
			continue
		}
		last, err := b.stream.GetLastMsgForSubject(ctx, subject)
		if err != nil || info.TimeStamp.Sub(last.Time) < age {
			continue
		}
		if err := b.purge(ctx, subject); err != nil {
			return err
		}
	}
	return nil
}
