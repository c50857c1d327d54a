// Package store says what a platform needs of the place where it keeps what it must not lose: values with
// compare-and-set, content-addressed blobs and streams. Servers that share a store serve the same sites.
// It must not know what is kept; what keeps it are the packages below.
package store

// The contract. storetest holds every implementation to it.

import (
	"context"
	"io"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// Store is one place. Its methods are safe for concurrent use, as are those of all that it gives. What a call has
// acknowledged survives the death of the process. Errors are *weir.Error: Unavailable if the store can't be
// reached, Invalid for a name, key, subject or filter that is none, and what each method names.
type Store interface {
	// KV gives the values of one bucket, which is made if need be. A bucket's name has letters and digits only.
	KV(ctx context.Context, bucket string) (KV, error)
	// Blobs gives the blobs.
	Blobs() Blobs
	// Stream gives a stream by its name (letters and digits), which is made if need be. Its bounds are those that it was
	// asked for last with, by a process that did so for the first time.
	Stream(ctx context.Context, name string, bounds Bounds) (Stream, error)
	// Close ends all calls that are under way, with an error.
	Close()
}

// ErrConflict is what KV's methods give, wrapped, when a value is not as the caller believes.
var ErrConflict = &weir.Error{Code: weir.Conflict, Message: "somebody else changed it in the meantime", Remedy: "look at it again, and retry"}

// Entry is one value of a bucket.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64    // of the value; never used twice for a key
	Time     time.Time // when it was written
}

// KV holds values by keys. A key consists of tokens of letters, digits, "-" and "_", joined by dots, and has at most
// MaxKey bytes; Token makes a token of any text. A value has at most MaxValue bytes; more is a weir.TooLarge.
type KV interface {
	// Get gives the value of a key. Errors: weir.NotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Create writes a value if the key has none. Errors: ErrConflict.
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Update writes a value if the one that is there has this revision. Errors: ErrConflict.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Put writes a value whatever is there.
	Put(ctx context.Context, key string, value []byte) (uint64, error)
	// Delete removes a value if it has this revision; 0: whatever it has. It is no error if there is none. Errors:
	// ErrConflict.
	Delete(ctx context.Context, key string, revision uint64) error
	// List gives the values below a prefix of whole tokens ("" for all; "a" for "a.b", not for "a"), sorted by key.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Keys is List without the values.
	Keys(ctx context.Context, prefix string) ([]string, error)
	// Watch gives to each what is there below a prefix, in any order, then one Change with Current set, and then what
	// changes, in order, until ctx ends or each gives an error. Of changes of one key that follow each other quickly it may
	// give the last only. A connection that was lost meanwhile loses no other, but may give one twice. If it was lost for so long that a deletion may have been
	// forgotten, the error is a weir.Unavailable: watch again, and forget what is not there any more.
	Watch(ctx context.Context, prefix string, each func(Change) error) error
}

// Bounds, in bytes.
const (
	MaxKey     = 1000      // of a key or subject
	MaxValue   = 512 << 10 // of a value
	MaxMessage = 512 << 10 // of a message
)

// Change is one change of a value.
type Change struct {
	Entry
	Deleted bool // Value is empty then
	Current bool // all that was there has been given; nothing else is set
}

// Blob is what is known of a blob.
type Blob struct {
	SHA256 string // of its content, in lower-case hexadecimal; it is its name
	Size   int64
	Time   time.Time // when it was written
}

// Blobs holds contents by their digests. None is ever held in memory.
type Blobs interface {
	// Put writes what r gives and returns its digest and size. If want is not "" and differs from the digest, nothing
	// is kept and the error is a weir.Invalid. An error of r is given back as it is, and nothing is kept. Of a content
	// that is there already, the time becomes now.
	Put(ctx context.Context, r io.Reader, want string) (Blob, error)
	// Open gives a content; a Read fails if it does not have the digest that it is called by, at its end at the latest.
	// One that is removed while it is read ends with weir.NotFound, unless it is put again. Errors: weir.NotFound.
	Open(ctx context.Context, sha256 string) (io.ReadCloser, Blob, error)
	// Stat tells whether there is one. Errors: weir.NotFound.
	Stat(ctx context.Context, sha256 string) (Blob, error)
	// Delete removes one that was seen like this; it is no error if there is none. If it was put again since, by its
	// Time, it stays, and the error is ErrConflict: so nobody removes what somebody else has just come to rely on.
	Delete(ctx context.Context, seen Blob) error
	// List gives all to each, until one of them gives an error.
	List(ctx context.Context, each func(Blob) error) error
	// Tidy removes what is left of writes that never came to their end and had their last byte so long ago, by the
	// store's own clock: whose clock is wrong must not take a write that is under way for one that was left.
	Tidy(ctx context.Context, age time.Duration) error
}

// Bounds say what a stream may take; what is over is removed, the oldest first. Zero: no bound.
type Bounds struct {
	Age        time.Duration
	Bytes      int64
	PerSubject int64 // messages of one subject
	// PerOwner is how many messages of one owner, which is the first token of their subjects, stay when more than half of
	// Bytes are taken, if subjects have several tokens. It is held to an eighth, and is less in the measure in which a
	// small store gives less than Bytes.
	PerOwner int64
}

// Message is one message of a stream.
type Message struct {
	Seq     uint64 // ascending, from 1
	Subject string
	Time    time.Time
	Data    []byte
}

// Stream is messages in order, of at most MaxMessage bytes each. A subject is like a key of KV; a filter is one in
// which "*" stands for any one token, and ">" at the end for one or more; "" is all.
type Stream interface {
	// Append adds a message. One with an id (not "") that came within the last two minutes is not added again: seq is then
	// that of the first. Errors: weir.TooLarge.
	Append(ctx context.Context, subject, id string, data []byte) (seq uint64, err error)
	// Read gives messages from a sequence number on, in order, at most limit of them.
	Read(ctx context.Context, filter string, from uint64, limit int) ([]Message, error)
	// Last gives the last n messages, in order.
	Last(ctx context.Context, filter string, n int) ([]Message, error)
	// Follow gives every message from a sequence number on (0: only those to come), until ctx ends or each gives an
	// error.
	Follow(ctx context.Context, filter string, from uint64, each func(Message) error) error
}
