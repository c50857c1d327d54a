package deploys

// What the tests share: servers on one store, a clock that they set, and a stage that reads a policy from a file.

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/natsstore"
	"github.com/weir-run/weir/internal/weir"
)

var (
	dev      = Author{Name: "dev", From: "192.0.2.1"}
	approver = Author{Name: "approver", From: "192.0.2.2", CanApprove: true}
)

// fake is the world around a service.
type fake struct {
	mu      sync.Mutex
	now     time.Time
	changes []record.Change
	deaf    bool // the journal fails
	stage   func(ctx context.Context, in StageInput) (StageOutput, error)
}

func (f *fake) Append(_ context.Context, c record.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf {
		return errors.New("no space left on device")
	}
	f.changes = append(f.changes, c)
	return nil
}

// Stage gives every function the rules that stand in the file rules, or in the site's policy, line by line.
func (f *fake) Stage(ctx context.Context, in StageInput) (StageOutput, error) {
	if f.stage != nil {
		return f.stage(ctx, in)
	}
	out := StageOutput{Functions: in.Manifest.Functions, Policies: map[string]*policy.Policy{}, Policy: in.Policy}
	if rules, ok := in.Manifest.Files["rules"]; ok && out.Policy == "" {
		r, err := in.Open(ctx, rules.SHA256)
		if err != nil {
			return out, err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			return out, err
		}
		out.Policy = string(b)
	}
	for name := range in.Manifest.Functions {
		p := &policy.Policy{Function: name, Source: "weir.toml"}
		for _, line := range strings.Fields(out.Policy) {
			p.Rules = append(p.Rules, policy.Rule{Kind: policy.HTTP, Pattern: "GET https://" + line + "/"})
		}
		out.Policies[name] = p
	}
	return out, nil
}

func (f *fake) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fake) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// actions gives what is on record of a deploy or site, and by whom.
func (f *fake) actions(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.changes {
		if c.Deploy == id || c.Deploy == "" && c.Site == id {
			out = append(out, c.Author+":"+c.Action)
		}
	}
	return strings.Join(out, " ")
}

func newStore(t testing.TB) store.Store {
	t.Helper()
	s, err := natsstore.Open(t.Context(), natsstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// newServer gives one more server on a store.
func newServer(t testing.TB, st store.Store, f *fake, o Options) *Service {
	t.Helper()
	if f.now.IsZero() {
		f.now = time.Now()
	}
	o.Store, o.Stage, o.Journal, o.Clock = st, f, f, f.clock
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newService(t testing.TB) (*Service, *fake) {
	t.Helper()
	f := &fake{}
	return newServer(t, newStore(t), f, Options{Domain: "weir.test"}), f
}

func newSite(t testing.TB, s *Service) weir.Site {
	t.Helper()
	site, err := s.CreateSite(t.Context(), approver, "")
	if err != nil {
		t.Fatal(err)
	}
	return site
}

// work does what the workers of Run would.
func (s *Service) workOff(ctx context.Context) {
	for s.driveNext(ctx) || s.work.busy() {
		runtime.Gosched()
	}
}

// busy tells whether somebody else is at a deploy, or a deploy waits that was behind one.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.running) > 0 || len(q.waiting) > 0
}

// skipNext leaves out what would be driven next.
func (s *Service) skipNext() {
	if a, ok := s.work.take(); ok {
		s.work.done(a)
	}
}

func sha1of(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func sha256of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// folder is what a client deploys: contents by paths; functions/NAME is a function's archive.
type folder map[string]string

func (f folder) declaration() Declaration {
	d := Declaration{Files: map[string]string{}, Functions: map[string]DeclaredFunction{}}
	for path, text := range f {
		if name, ok := strings.CutPrefix(path, "functions/"); ok {
			d.Functions[name] = DeclaredFunction{SHA256: sha256of(text)}
		} else {
			d.Files[path] = sha1of(text)
		}
	}
	return d
}

// begin begins a deploy and declares its contents.
func (f folder) begin(t testing.TB, s *Service, a Author, site string, o BeginOptions) (string, Missing) {
	t.Helper()
	d, err := s.Begin(t.Context(), a, site, o)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := s.Declare(t.Context(), a, d.ID, f.declaration())
	if err != nil {
		t.Fatal(err)
	}
	return d.ID, m
}

// upload uploads what is missing, on one server after the other.
func (f folder) upload(t testing.TB, a Author, id string, m Missing, servers ...*Service) {
	t.Helper()
	missing := map[string]bool{}
	for _, sum := range append(m.Files, m.Functions...) {
		missing[sum] = true
	}
	i := 0
	for path, text := range f {
		var err error
		s := servers[i%len(servers)]
		if name, ok := strings.CutPrefix(path, "functions/"); ok && missing[sha256of(text)] {
			err = s.UploadFunction(t.Context(), a, id, name, FunctionUpload{Runtime: "js"}, strings.NewReader(text))
		} else if !ok && missing[sha1of(text)] {
			err = s.UploadFile(t.Context(), a, id, path, bytes.NewReader([]byte(text)))
			delete(missing, sha1of(text)) // once for all paths
		} else {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		i++
	}
}

// deploy deploys all of a folder, and gives the deploy at its end.
func (f folder) deploy(t testing.TB, s *Service, a Author, site string, o BeginOptions) weir.Deploy {
	t.Helper()
	id, m := f.begin(t, s, a, site, o)
	f.upload(t, a, id, m, s)
	s.workOff(t.Context())
	return state(t, s, id)
}

func state(t testing.TB, s *Service, id string) weir.Deploy {
	t.Helper()
	d, err := s.Deploy(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func reread(t testing.TB, s *Service, site weir.Site) weir.Site {
	t.Helper()
	site, err := s.Site(t.Context(), site.ID)
	if err != nil {
		t.Fatal(err)
	}
	return site
}

// expect fails if an error is not of this code, or is not for people.
func expect(t testing.TB, what string, err error, code weir.Code) {
	t.Helper()
	var e *weir.Error
	if weir.ErrorCode(err) != code || errors.As(err, &e) && e.Message == "" {
		t.Errorf("%s: got %v, want %q", what, err, code)
	}
}
