package deploys

// The service, and what it asks of others.

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// Author is who makes a change.
type Author struct {
	Name       string // of the token
	From       string // address of the client
	CanApprove bool   // may approve what deploys gain
}

// Journal keeps what was changed by whom.
type Journal interface {
	// Append keeps a change before it is made. If it fails, the change is not made.
	Append(ctx context.Context, c record.Change) error
}

// Stage reads the functions of a deploy and finds the policy of each.
type Stage interface {
	// Stage may be called again for the same deploy, also on another server. An error with the code
	// weir.Unavailable is no fault of the deploy: it is tried again. Any other one ends the deploy, and is for its author.
	Stage(ctx context.Context, in StageInput) (StageOutput, error)
}

// StageInput is a deploy whose content is there.
type StageInput struct {
	Site     weir.Site
	Deploy   weir.Deploy
	Manifest weir.Manifest // its Files and Functions; of a function's Config, what the client declared
	// Policy is the policy that was set for the site on the server, as the text of a weir.toml. It takes the place of
	// what the deploy brings. "": none was set.
	Policy string
	// Open gives a content of the manifest by its SHA-256.
	Open func(ctx context.Context, sha256 string) (io.ReadCloser, error)
}

// StageOutput is what was found.
type StageOutput struct {
	Functions map[string]weir.DeployFunction // all those of the manifest; Config and Fault count
	Policies  map[string]*policy.Policy      // by function, cut by the ceiling; none for a function without one
	Warnings  []string                       // for the author
	Policy    string                         // the weir.toml that counts, "" for none
	Config    string                         // the netlify.toml, "" for none
}

// Options say what a Service works with. Store, Stage and Journal are needed.
type Options struct {
	Store   store.Store
	Stage   Stage
	Journal Journal
	// Domain is the server's own: sites are NAME.DOMAIN, so no site may claim a domain below it. "": none.
	Domain string
	// Reserved are host names of the server itself, in lower case: no site may have one, by its name or as a domain.
	Reserved []string
	// CheckPolicy tells whether a text is a weir.toml, before it is set for a site. nil: the Stage tells.
	CheckPolicy func(text string) error
	// Removed removes what others keep of a deploy that is being removed; it may be called again for the same one. nil:
	// nobody does.
	Removed func(ctx context.Context, deploy string) error
	// Shown waits until all servers show what was just published of a site, or it is not worth waiting for. nil: nobody
	// waits.
	Shown   func(ctx context.Context, site, deploy string)
	Limits  Limits
	Keep    Keep
	Workers int // deploys that are staged at a time, one of a site; 0: 4
	Logger  *slog.Logger
	Clock   func() time.Time // nil: time.Now
}

// Limits bound what a client may send. A zero field means the default.
type Limits struct {
	File     int64 // bytes of a file; 512 MB
	Function int64 // bytes of a function's archive; 250 MB
	Deploy   int64 // bytes of all that a deploy uploads; 4 GB
	Open     int   // deploys of a site that are not at their end; 50
	Deploys  int   // of a site, at their end or not; 1,000
	Site     int64 // bytes of all that a site keeps and uploads, each content once; 16 GB
}

// Keep says which deploys are kept besides those that are published, approved or have an alias, and those that
// one of these needs. A zero field means the default.
type Keep struct {
	Ready int           // the latest so many ready ones of a site; 20
	Age   time.Duration // those that ended no longer ago; 7 days. Of those that failed, the latest 100
}

const (
	maxFiles     = 100_000
	maxFunctions = 500
)

// Service holds sites and deploys. Its methods are safe for concurrent use. Errors are *weir.Error: NotFound for a
// site or deploy that isn't there, Conflict if its state doesn't allow it, and what the methods name; those of the
// store and the journal are given on.
type Service struct {
	o        Options
	id       string // of this server, in leases
	sites    store.KV
	deploys  store.KV
	uploads  store.KV
	policies store.KV
	gc       store.KV
	blobs    store.Blobs

	work    *queue        // what is to be driven
	collect chan struct{} // has one in it when there may be something to remove

	mu       sync.Mutex
	last     int64                // the last deploy id's milliseconds
	progress map[string]*progress // of deploys that receive uploads
	used     map[string]*usage    // by site

	grace     time.Duration      // graceTime, but in tests
	stageTime time.Duration      // stageTime, but in tests
	quietTime time.Duration      // after which no sweep runs any more; less in tests
	hook      func(point string) // tests: what else happens at this point
}

// New makes a service.
func New(ctx context.Context, o Options) (*Service, error) {
	def(&o.Limits.File, 512<<20)
	def(&o.Limits.Function, 250<<20)
	def(&o.Limits.Deploy, 4<<30)
	def(&o.Limits.Open, 50)
	def(&o.Limits.Deploys, 1000)
	def(&o.Limits.Site, 16<<30)
	def(&o.Keep.Ready, 20)
	def(&o.Keep.Age, 7*24*time.Hour)
	def(&o.Workers, 4)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Shown == nil {
		o.Shown = func(context.Context, string, string) {}
	}
	s := &Service{o: o, id: randomHex(8), blobs: o.Store.Blobs(), work: newQueue(), collect: make(chan struct{}, 1),
		progress: map[string]*progress{}, used: map[string]*usage{}, grace: graceTime, stageTime: stageTime, quietTime: sweepTime + clockSkew,
		hook: func(string) {}}
	for bucket, kv := range map[string]*store.KV{"sites": &s.sites, "deploys": &s.deploys, "uploads": &s.uploads, "policies": &s.policies, "gc": &s.gc} {
		var err error
		if *kv, err = o.Store.KV(ctx, bucket); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (s *Service) now() time.Time { return s.o.Clock().UTC() }

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// journalled makes a change that is on record before. One that fails then is on record as failed.
func (s *Service) journalled(ctx context.Context, a Author, c record.Change, do func() error) error {
	c.Time, c.Author, c.From = s.now(), a.Name, a.From
	if err := s.o.Journal.Append(ctx, c); err != nil {
		return &weir.Error{Code: weir.Unavailable, Message: "the journal of changes can't be written, so nothing was changed", Err: err, Remedy: "try again"}
	}
	err := do()
	if err != nil {
		failed := map[string]string{"failed": weir.Cut(weir.Printable(err.Error()), 500)}
		for k, v := range c.Detail {
			failed[k] = v
		}
		c.Time, c.Detail = s.now(), failed
		if err := s.o.Journal.Append(context.WithoutCancel(ctx), c); err != nil {
			s.o.Logger.Warn("a change that failed is on record as made", "action", c.Action, "site", c.Site, "deploy", c.Deploy, "error", err)
		}
	}
	return err
}
