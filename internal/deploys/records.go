package deploys

// What the store holds, and how it changes.
//
//	bucket    key                       value
//	sites     site.ID                   siteRecord
//	          name.NAME, domain.TOKEN   the ID of the site that has claimed it
//	deploys   deploy.SITE.ID            deployRecord
//	          id.ID                     SITE
//	uploads   active.SITE.ID            nothing: the deploy is not at its end
//	          received.ID.DIGEST        received: of a file (SHA-1) or a function's archive (SHA-256)
//	policies  policy.SITE               SitePolicy
//	gc        state                     sweepState

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// siteRecord is a site with what only this package needs. Others read the value as a weir.Site.
type siteRecord struct {
	weir.Site
	Previous       []string `json:"previous,omitempty"`        // what Published was before, the latest first
	Newest         string   `json:"newest,omitempty"`          // the last begun of all that were ever published
	NewestApproved string   `json:"newest_approved,omitempty"` // the last begun of all that were approved as they landed
	Removing       []string `json:"removing,omitempty"`        // deploys that are being removed: nothing may lead to them
}

// deployRecord is a deploy with what only this package needs. Others read the value as a weir.Deploy.
type deployRecord struct {
	weir.Deploy
	From       string            `json:"from,omitempty"`        // address of the client that began it
	CanApprove bool              `json:"can_approve,omitempty"` // everybody who had a hand in it may approve
	Declared   string            `json:"declared,omitempty"`    // SHA-256 of the blob with its contents, until it is at its end
	Known      string            `json:"known,omitempty"`       // … with what of it needs no upload; "": not looked yet
	Policies   string            `json:"policies,omitempty"`    // as in its Manifest
	Outline    string            `json:"outline,omitempty"`     // of its Manifest: the functions and warnings alone
	Over       string            `json:"over,omitempty"`        // the deploy that was the approved one when this one was judged
	Settled    bool              `json:"settled,omitempty"`     // what becomes of it by itself once it is ready has been done
	Schedules  map[string]string `json:"schedules,omitempty"`   // of its functions, by name
	Gains      int               `json:"gains,omitempty"`       // privileges beyond that one's
	Like       string            `json:"like,omitempty"`        // the deploy that it repeats
	Owner      string            `json:"owner,omitempty"`       // the server that processes it,
	Until      time.Time         `json:"until,omitzero"`        // and when it is believed to have ended if it is silent
	Attempts   int               `json:"attempts,omitempty"`    // servers that took it and were not heard of again
}

// received is what came for one digest.
type received struct {
	SHA256     string `json:"sha256"`
	Size       int64  `json:"size"`
	Runtime    string `json:"runtime,omitempty"`
	Background bool   `json:"background,omitempty"`
}

var (
	isDeployID = regexp.MustCompile(`^[0-9a-f]{24}$`)
	isUUID     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	isSHA1     = regexp.MustCompile(`^[0-9a-f]{40}$`)
	isSHA256   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// errSame says that a record is as it should be.
var errSame = errors.New("nothing to change")

func noSite(ref string) error {
	return &weir.Error{Code: weir.NotFound, Message: "there is no site " + quote(ref), Remedy: "see the list of sites"}
}

func noDeploy(id string) error {
	return &weir.Error{Code: weir.NotFound, Message: "there is no deploy " + quote(id), Remedy: "see the site's list of deploys"}
}

// quote gives a stranger's text for an error.
func quote(s string) string { return `"` + weir.Cut(weir.Printable(s), 100) + `"` }

func read[T any](ctx context.Context, kv store.KV, key string) (v T, revision uint64, err error) {
	e, err := kv.Get(ctx, key)
	if err != nil {
		return v, 0, err
	}
	return v, e.Revision, decode(e.Value, &v)
}

func decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return &weir.Error{Code: weir.Internal, Message: "a record in the store can't be read", Err: err}
	}
	return nil
}

// update changes a record by compare-and-set. change is called again if somebody else was first; if it gives errSame,
// nothing is written.
func update[T any](ctx context.Context, kv store.KV, key string, change func(*T) error) (T, error) {
	for {
		v, revision, err := read[T](ctx, kv, key)
		if err != nil {
			return v, err
		}
		err = change(&v)
		if errors.Is(err, errSame) {
			return v, nil
		}
		if err != nil {
			return v, err
		}
		_, err = kv.Update(ctx, key, encode(v), revision)
		if !errors.Is(err, store.ErrConflict) {
			return v, err
		}
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data
	}
	return b
}

func (s *Service) readSite(ctx context.Context, id string) (siteRecord, uint64, error) {
	if !isUUID.MatchString(id) {
		return siteRecord{}, 0, noSite(id)
	}
	r, revision, err := read[siteRecord](ctx, s.sites, "site."+id)
	if weir.ErrorCode(err) == weir.NotFound {
		err = noSite(id)
	}
	return r, revision, err
}

func (s *Service) updateSite(ctx context.Context, id string, change func(*siteRecord) error) (siteRecord, error) {
	r, err := update(ctx, s.sites, "site."+id, func(r *siteRecord) error {
		err := change(r)
		r.Updated = s.now()
		return err
	})
	if weir.ErrorCode(err) == weir.NotFound {
		err = noSite(id)
	}
	return r, err
}

func deployKey(site, id string) string { return "deploy." + site + "." + id }

func (s *Service) readDeploy(ctx context.Context, id string) (deployRecord, error) {
	if !isDeployID.MatchString(id) {
		return deployRecord{}, noDeploy(id)
	}
	site, _, err := read[string](ctx, s.deploys, "id."+id)
	if err == nil {
		var r deployRecord
		if r, _, err = read[deployRecord](ctx, s.deploys, deployKey(site, id)); err == nil {
			return r, nil
		}
	}
	if weir.ErrorCode(err) == weir.NotFound {
		err = noDeploy(id)
	}
	return deployRecord{}, err
}

func (s *Service) updateDeploy(ctx context.Context, of deployRecord, change func(*deployRecord) error) (deployRecord, error) {
	r, err := update(ctx, s.deploys, deployKey(of.Site, of.ID), func(r *deployRecord) error {
		err := change(r)
		r.Updated = s.now()
		return err
	})
	if weir.ErrorCode(err) == weir.NotFound {
		err = noDeploy(of.ID)
	}
	return r, err
}

// listDeploys gives the deploys of a site, the last begun first.
func (s *Service) listDeploys(ctx context.Context, site string) ([]deployRecord, error) {
	entries, err := s.deploys.List(ctx, "deploy."+site)
	if err != nil {
		return nil, err
	}
	out := make([]deployRecord, len(entries))
	for i, e := range entries {
		if err := decode(e.Value, &out[len(entries)-1-i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maxDocument bounds a JSON document that is kept as a blob, in bytes.
const maxDocument = 256 << 20

// putDocument keeps a document of a site. Errors: those of spend.
func (s *Service) putDocument(ctx context.Context, site string, v any) (digest string, err error) {
	text := encode(v)
	if err := s.spend(site, int64(len(text))); err != nil {
		return "", err
	}
	b, err := s.blobs.Put(ctx, bytes.NewReader(text), "")
	return b.SHA256, err
}

func (s *Service) readDocument(ctx context.Context, digest string, v any) error {
	r, blob, err := s.blobs.Open(ctx, digest)
	if err != nil {
		return err
	}
	defer r.Close()
	if blob.Size > maxDocument {
		return &weir.Error{Code: weir.Internal, Message: "a document in the store is too large"}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return decode(b, v)
}
