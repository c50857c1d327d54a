package natsstore

// Following a stream, and a bucket, which is one: from a message on, through lost connections, until somebody has
// enough.

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	ahead = 4 << 20     // bytes that are fetched before they are wanted,
	most  = 1000        // and messages: room for so many is made at once
	idle  = time.Minute // after which the server forgets a follower that is gone
)

// follow gives begin how many messages there are already, and each the messages, until one of them gives an error, ctx
// ends, the store is closed, or missed is.
func (s *Store) follow(ctx context.Context, at jetstream.Stream, cfg jetstream.OrderedConsumerConfig, missed <-chan struct{},
	begin func(there uint64) error, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	cfg.InactiveThreshold = idle
	c, err := at.OrderedConsumer(ctx, cfg)
	if err != nil {
		return unreachable(err)
	}
	defer func() { go forget(at, c) }()
	if err := begin(c.CachedInfo().NumPending); err != nil {
		return err
	}
	messages, err := c.Messages(jetstream.PullMaxMessagesWithBytesLimit(most, ahead))
	if err != nil {
		return unreachable(err)
	}
	over := make(chan struct{})
	defer close(over)
	came := pump(messages, over)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closed:
			return unreachable(errors.New("it was closed"))
		case <-missed:
			return unreachable(errors.New("it was out of reach for so long that changes may have been missed"))
		case d := <-came:
			if d.err != nil {
				return unreachable(d.err)
			}
			if err := each(d.message, d.meta); err != nil {
				return err
			}
		}
	}
}

type delivery struct {
	message jetstream.Msg
	meta    *jetstream.MsgMetadata
	err     error
}

// pump hands messages on until over is closed. What ends an iterator waits for a server that is gone; nobody here does.
func pump(messages jetstream.MessagesContext, over <-chan struct{}) <-chan delivery {
	came := make(chan delivery)
	go func() {
		<-over
		messages.Stop()
	}()
	go func() {
		for {
			var d delivery
			if d.message, d.err = messages.Next(); d.err == nil {
				d.meta, d.err = d.message.Metadata()
			}
			select {
			case came <- d:
			case <-over:
				return
			}
			if d.err != nil {
				return
			}
		}
	}()
	return came
}

// forget tells the server that a follower is gone, which it would see for itself only after a while.
func forget(at jetstream.Stream, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	at.DeleteConsumer(ctx, c.CachedInfo().Name)
}
