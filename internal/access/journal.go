package access

// The journal: who changed what. It is one for all servers; each keeps what it did itself in its signed records, too.

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

const (
	journalName  = "changes"
	journalBytes = 256 << 20 // beyond it the oldest changes are forgotten
	// authorEvery is for how many bytes of the journal a change of one author stays, once half of them are taken: 10,000
	// of each. So nobody hides what others did.
	authorEvery = journalBytes / 10_000
)

// Journal keeps changes in a store. It is safe for concurrent use, also by several servers at once.
type Journal struct {
	stream store.Stream
	also   record.ChangeRecorder
}

// NewJournal gives the journal of a store. also gets each change that this process appends, once it is kept; nil:
// nobody does.
func NewJournal(ctx context.Context, s store.Store, also record.ChangeRecorder) (*Journal, error) {
	return newJournal(ctx, s, also, journalBytes)
}

func newJournal(ctx context.Context, s store.Store, also record.ChangeRecorder, bytes int64) (*Journal, error) {
	stream, err := s.Stream(ctx, journalName, store.Bounds{Bytes: bytes, PerOwner: bytes / authorEvery})
	if err != nil {
		return nil, err
	}
	return &Journal{stream, also}, nil
}

// Append keeps a change, which survives whatever happens once it returns. The time is now if there is none. Errors:
// those of the store; weir.Internal if it doesn't say who did what.
func (j *Journal) Append(ctx context.Context, c record.Change) error {
	if c.Author == "" || c.Action == "" {
		return &weir.Error{Code: weir.Internal, Message: "a change without author or action"}
	}
	if c.Time.IsZero() {
		c.Time = time.Now().UTC()
	}
	c = c.Bounded()
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := j.stream.Append(ctx, store.Token(c.Author)+"."+about(c.Site), ulid.Make().String(), data); err != nil {
		return err
	}
	if j.also != nil {
		j.also.Changed(c)
	}
	return nil
}

// about gives the last token of the subject of changes of a site, or of the server.
func about(site string) string {
	if site == "" {
		return "server"
	}
	return store.Token("site-" + site)
}

// Filter picks changes. A zero field picks all.
type Filter struct {
	Site   string // id
	Author string
	Action string // "env.set", or "env." for all that begin so
	Since  time.Time
	Limit  int // of Read: the last so many; 0: 100; at most 10,000
}

const (
	defaultLimit = 100
	maxLimit     = 10_000
	maxLooked    = 100_000 // messages
)

// subject gives the subjects of the changes that a filter may pick.
func (f *Filter) subject() string {
	author, site := "*", "*"
	if f.Author != "" {
		author = store.Token(f.Author)
	}
	if f.Site != "" {
		site = about(f.Site)
	}
	return author + "." + site
}

func (f *Filter) match(c *record.Change) bool {
	return (f.Author == "" || f.Author == c.Author) && !c.Time.Before(f.Since) &&
		(f.Action == "" || f.Action == c.Action || strings.HasSuffix(f.Action, ".") && strings.HasPrefix(c.Action, f.Action))
}

// Read gives the last changes that a filter picks, in order, of the last 100,000 there are. Errors: those of the store.
func (j *Journal) Read(ctx context.Context, f Filter) ([]record.Change, error) {
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	f.Limit = min(f.Limit, maxLimit)
	for looked := f.Limit; ; looked = min(8*looked, maxLooked) {
		last, err := j.stream.Last(ctx, f.subject(), looked)
		if err != nil {
			return nil, err
		}
		var out []record.Change
		for _, m := range last {
			c, err := change(m)
			if err != nil {
				return nil, err
			}
			if f.match(&c) {
				out = append(out, c)
			}
		}
		if len(out) >= f.Limit || len(last) < looked || looked == maxLooked || last[0].Time.Before(f.Since) {
			return out[max(0, len(out)-f.Limit):], nil
		}
	}
}

// Follow gives to each the changes that come from now on and that a filter picks, until ctx ends or each gives an
// error. Errors: that of each, those of the store.
func (j *Journal) Follow(ctx context.Context, f Filter, each func(record.Change) error) error {
	err := j.stream.Follow(ctx, f.subject(), 0, func(m store.Message) error {
		c, err := change(m)
		if err != nil || !f.match(&c) {
			return err
		}
		return each(c)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func change(m store.Message) (record.Change, error) {
	var c record.Change
	if err := json.Unmarshal(m.Data, &c); err != nil {
		return c, &weir.Error{Code: weir.Internal, Message: "a change in the journal can't be read", Err: err}
	}
	return c, nil
}
