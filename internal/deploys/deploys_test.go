package deploys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

var site1 = folder{"index.html": "hello", "copy.html": "hello", "a/b.js": "b", "functions/api": "zip of api"}

func TestADeployGoesLiveAndTheNextOneUploadsOnlyWhatIsNew(t *testing.T) {
	s, f := newService(t)
	site := newSite(t, s)
	id, m := site1.begin(t, s, dev, site.ID, BeginOptions{Title: "first", Source: "cli"})
	if len(m.Files) != 2 || len(m.Functions) != 1 || !slices.IsSorted(m.Files) {
		t.Errorf("of a new site all is missing, each content once: %+v", m)
	}
	if got := state(t, s, id); got.State != weir.DeployPrepared || got.Context != weir.ContextProduction {
		t.Errorf("got %+v", got)
	}
	site1.upload(t, dev, id, m, s)
	s.workOff(t.Context())
	d := state(t, s, id)
	if d.State != weir.DeployReady || d.Author != "dev" || d.Title != "first" || reread(t, s, site).Published != id {
		t.Errorf("got %+v, published %q", d, reread(t, s, site).Published)
	}
	manifest, err := s.Manifest(t.Context(), id)
	if err != nil || len(manifest.Files) != 3 || manifest.Files["copy.html"].SHA256 != sha256of("hello") || manifest.Files["copy.html"].Size != 5 ||
		manifest.Functions["api"].SHA256 != sha256of("zip of api") || manifest.Functions["api"].Runtime != "js" {
		t.Errorf("got %+v %v", manifest, err)
	}
	if got := f.actions(id); got != "dev:deploy.begin dev:deploy.ready dev:deploy.publish" {
		t.Errorf("on record is %q", got)
	}
	changed := folder{"index.html": "hello", "a/b.js": "c", "functions/api": "zip of api"}
	id, m = changed.begin(t, s, dev, site.ID, BeginOptions{})
	if !slices.Equal(m.Files, []string{sha1of("c")}) || len(m.Functions) != 0 {
		t.Errorf("only one file is new: %+v", m)
	}
	changed.upload(t, dev, id, m, s)
	s.workOff(t.Context())
	same := changed.deploy(t, s, dev, site.ID, BeginOptions{})
	if same.State != weir.DeployReady || reread(t, s, site).Published != same.ID {
		t.Errorf("what needs no upload at all is ready, too: %+v", same)
	}
	manifest, err = s.Manifest(t.Context(), same.ID)
	if err != nil || manifest.Functions["api"].Runtime != "js" || len(manifest.Files) != 2 {
		t.Errorf("got %+v %v", manifest, err)
	}
	if keys, err := s.uploads.Keys(t.Context(), ""); err != nil || len(keys) != 0 {
		t.Errorf("left over: %v %v", keys, err)
	}
}

func TestTwoServersReceiveOneDeploy(t *testing.T) {
	st, f := newStore(t), &fake{}
	a, b := newServer(t, st, f, Options{}), newServer(t, st, f, Options{})
	site := newSite(t, a)
	files := folder{"functions/x": "x", "functions/y": "y"}
	for i := range 20 {
		files[fmt.Sprintf("%d.txt", i)] = fmt.Sprint(i)
	}
	id, m := files.begin(t, a, dev, site.ID, BeginOptions{})
	files.upload(t, dev, id, m, a, b)
	// Neither has seen all of it arrive. One of them finds out when it looks.
	f.advance(time.Minute)
	b.look(t.Context())
	b.workOff(t.Context())
	if d := state(t, a, id); d.State != weir.DeployReady {
		t.Errorf("got %+v", d)
	}
}

func TestAsyncDeclaration(t *testing.T) {
	s, _ := newService(t)
	site := newSite(t, s)
	files := folder{"functions/f": "f"}
	declaration := files.declaration()
	declaration.Async = true
	for i := range 3000 {
		declaration.Files[fmt.Sprintf("dir%d/file-%d.html", i%100, i)] = sha1of(fmt.Sprint(i % 1000))
	}
	d, err := s.Begin(t.Context(), dev, site.ID, BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, d, err := s.Declare(t.Context(), dev, d.ID, declaration)
	if err != nil || d.State != weir.DeployPreparing || len(m.Files) != 0 {
		t.Fatalf("got %+v %+v %v", m, d, err)
	}
	expect(t, "an upload before", s.UploadFunction(t.Context(), dev, d.ID, "f", FunctionUpload{}, strings.NewReader("f")), weir.Conflict)
	s.workOff(t.Context())
	m, err = s.Missing(t.Context(), d.ID)
	if err != nil || len(m.Files) != 1000 || len(m.Functions) != 1 || state(t, s, d.ID).State != weir.DeployPrepared {
		t.Errorf("%d files %d functions %v", len(m.Files), len(m.Functions), err)
	}
	// Another declaration takes its place.
	m, d, err = s.Declare(t.Context(), dev, d.ID, files.declaration())
	if err != nil || len(m.Files) != 0 || len(m.Functions) != 1 || d.State != weir.DeployPrepared {
		t.Errorf("got %+v %+v %v", m, d, err)
	}
}

func TestBadDeclarations(t *testing.T) {
	s, _ := newService(t)
	d, err := s.Begin(t.Context(), dev, newSite(t, s).ID, BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := sha1of("1"), sha256of("1")
	many := map[string]string{}
	for i := range maxFiles + 1 {
		many[fmt.Sprint(i)] = one
	}
	functions := map[string]DeclaredFunction{}
	for i := range maxFunctions + 1 {
		functions[fmt.Sprint(i)] = DeclaredFunction{SHA256: two}
	}
	files := func(path string) Declaration { return Declaration{Files: map[string]string{path: one}} }
	for name, c := range map[string]struct {
		d    Declaration
		code weir.Code
	}{
		"no path":               {files(""), weir.Invalid},
		"a slash":               {files("/"), weir.Invalid},
		"dots":                  {files("a/../../b"), weir.Invalid},
		"a dot":                 {files("./a"), weir.Invalid},
		"an empty segment":      {files("a//b"), weir.Invalid},
		"two slashes":           {files("//a"), weir.Invalid},
		"a folder":              {files("a/"), weir.Invalid},
		"a backslash":           {files(`a\..\b`), weir.Invalid},
		"a NUL":                 {files("a\x00"), weir.Invalid},
		"an end of line":        {files("a\nb"), weir.Invalid},
		"a C1 control":          {files("a\u0085b"), weir.Invalid},
		"no UTF-8":              {files("a\xff"), weir.Invalid},
		"a long path":           {files(strings.Repeat("a", maxPath+1)), weir.Invalid},
		"the server's own":      {files(".netlify/functions/x"), weir.Invalid},
		"… in capitals":         {files("/.Netlify/x"), weir.Invalid},
		"twice":                 {Declaration{Files: map[string]string{"a": one, "/a": one}}, weir.Invalid},
		"no digest":             {Declaration{Files: map[string]string{"a": ""}}, weir.Invalid},
		"a digest in capitals":  {Declaration{Files: map[string]string{"a": strings.ToUpper(sha1of("x"))}}, weir.Invalid},
		"a SHA-256 of a file":   {Declaration{Files: map[string]string{"a": two}}, weir.Invalid},
		"a SHA-1 of a function": {Declaration{Functions: map[string]DeclaredFunction{"f": {SHA256: one}}}, weir.Invalid},
		"a function's path":     {Declaration{Functions: map[string]DeclaredFunction{"../f": {SHA256: two}}}, weir.Invalid},
		"no function's name":    {Declaration{Functions: map[string]DeclaredFunction{"": {SHA256: two}}}, weir.Invalid},
		"too many files":        {Declaration{Files: many}, weir.TooLarge},
		"too many functions":    {Declaration{Functions: functions}, weir.TooLarge},
	} {
		_, _, err := s.Declare(t.Context(), dev, d.ID, c.d)
		expect(t, name, err, c.code)
	}
	if got := state(t, s, d.ID); got.State != weir.DeployNew {
		t.Errorf("something was changed: %+v", got)
	}
	odd := folder{"__proto__": "1", "constructor/prototype": "2", "ü b;c%2f?": "3", ".well-known/x": "4", ".netlify/deploy-config/deploy-config.json": "{}", "functions/__proto__": "f"}
	if _, _, err := s.Declare(t.Context(), dev, d.ID, odd.declaration()); err != nil {
		t.Error(err)
	}
	m, err := s.Missing(t.Context(), d.ID)
	odd.upload(t, dev, d.ID, m, s)
	s.workOff(t.Context())
	if got := state(t, s, d.ID); err != nil || got.State != weir.DeployReady {
		t.Errorf("got %+v %v", got, err)
	}
}

func FuzzPath(f *testing.F) {
	for _, p := range []string{"", "/", "a/b", "/a", "../a", "a/./b", "a\\b", ".netlify/x", "\x00", "a//b", "é"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		name, err := cleanPath(path)
		if err != nil {
			expect(t, path, err, weir.Invalid)
			return
		}
		if again, err := cleanPath(name); err != nil || again != name {
			t.Errorf("%q is %q, which is %q: %v", path, name, again, err)
		}
		for _, segment := range strings.Split(name, "/") {
			if segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "\\\x00\n\r") {
				t.Errorf("%q is %q", path, name)
			}
		}
	})
}

func TestBadUploadsChangeNothing(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{Limits: Limits{File: 100, Function: 100, Deploy: 150}})
	site := newSite(t, s)
	files := folder{"a.txt": strings.Repeat("a", 90), "big.txt": strings.Repeat("b", 101), "c.txt": strings.Repeat("c", 90), "functions/f": "f"}
	id, m := files.begin(t, s, dev, site.ID, BeginOptions{})
	ctx := t.Context()
	cut := errors.New("the connection is gone")
	file := func(path string, r io.Reader) error { return s.UploadFile(ctx, dev, id, path, r) }
	expect(t, "another content", file("a.txt", strings.NewReader("x")), weir.Invalid)
	expect(t, "another archive", s.UploadFunction(ctx, dev, id, "f", FunctionUpload{}, strings.NewReader("g")), weir.Invalid)
	expect(t, "an empty one", file("a.txt", strings.NewReader("")), weir.Invalid)
	expect(t, "one byte more", file("a.txt", strings.NewReader(files["a.txt"]+"a")), weir.Invalid)
	expect(t, "too large", file("big.txt", strings.NewReader(files["big.txt"])), weir.TooLarge)
	expect(t, "a large function", s.UploadFunction(ctx, dev, id, "f", FunctionUpload{}, strings.NewReader(files["big.txt"])), weir.TooLarge)
	expect(t, "undeclared", file("d.txt", strings.NewReader("d")), weir.NotFound)
	expect(t, "not a path", file("../a.txt", strings.NewReader("d")), weir.Invalid)
	expect(t, "no function", s.UploadFunction(ctx, dev, id, "g", FunctionUpload{}, strings.NewReader("g")), weir.NotFound)
	expect(t, "no deploy", s.UploadFile(ctx, dev, strings.Repeat("0", 24), "a.txt", strings.NewReader("d")), weir.NotFound)
	expect(t, "a hostile id", s.UploadFile(ctx, dev, "*.>", "a.txt", strings.NewReader("d")), weir.NotFound)
	if err := file("a.txt", io.MultiReader(strings.NewReader("aaa"), iotest.ErrReader(cut))); !errors.Is(err, cut) {
		t.Errorf("cut off: %v", err)
	}
	if now, err := s.Missing(ctx, id); err != nil || !slices.Equal(now.Files, m.Files) || !slices.Equal(now.Functions, m.Functions) {
		t.Errorf("missing is %+v, was %+v: %v", now, m, err)
	}
	if err := file("/a.txt", iotest.OneByteReader(strings.NewReader(files["a.txt"]))); err != nil {
		t.Error(err)
	}
	if err := file("a.txt", strings.NewReader("what is there needs no body")); err != nil {
		t.Error(err)
	}
	expect(t, "too much together", file("c.txt", strings.NewReader(files["c.txt"])), weir.TooLarge)
	keys, err := s.uploads.Keys(ctx, "received."+id)
	if err != nil || len(keys) != 1 || state(t, s, id).State != weir.DeployUploading {
		t.Errorf("received: %v %v", keys, err)
	}
}

func TestAnUploadWhoseAnswerWasLostIsAnsweredAgain(t *testing.T) {
	s, _ := newService(t)
	site := newSite(t, s)
	id, m := site1.begin(t, s, dev, site.ID, BeginOptions{})
	site1.upload(t, dev, id, m, s)
	for _, when := range []string{"whole", "ready"} {
		if err := s.UploadFile(t.Context(), dev, id, "index.html", strings.NewReader("hello")); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		s.workOff(t.Context())
	}
	if state(t, s, id).State != weir.DeployReady {
		t.Error("it is not ready")
	}
	expect(t, "undeclared", s.UploadFile(t.Context(), dev, id, "other", strings.NewReader("x")), weir.NotFound)
	_, _, err := s.Declare(t.Context(), dev, id, site1.declaration())
	expect(t, "declared when ready", err, weir.Conflict)
	_, err = s.Cancel(t.Context(), dev, id)
	expect(t, "cancelled when ready", err, weir.Conflict)
}

// TestAnotherSitesContentIsNotKnown: who knows a digest must not learn that it is there, nor get it.
func TestAnotherSitesContentIsNotKnown(t *testing.T) {
	s, _ := newService(t)
	one, two := newSite(t, s), newSite(t, s)
	d := site1.deploy(t, s, dev, one.ID, BeginOptions{})
	_, m := site1.begin(t, s, dev, two.ID, BeginOptions{})
	if len(m.Files) != 2 || len(m.Functions) != 1 {
		t.Errorf("known of another site: missing is only %+v", m)
	}
	_, err := s.SiteDeploy(t.Context(), two.ID, d.ID)
	expect(t, "a deploy of another site", err, weir.NotFound)
	if got, err := s.SiteDeploy(t.Context(), one.ID, d.ID); err != nil || got.ID != d.ID {
		t.Error(err)
	}
}

// TestAnApproverTakesNothingOver: what is approved as it lands consists of nothing that others have sent, who may have
// said that an archive is one of another kind, or have sent a file that only has the same SHA-1.
func TestAnApproverTakesNothingOver(t *testing.T) {
	s, _ := newService(t)
	site := newSite(t, s)
	d := site1.deploy(t, s, dev, site.ID, BeginOptions{Draft: true})
	if _, m := site1.begin(t, s, dev, site.ID, BeginOptions{}); len(m.Files)+len(m.Functions) != 0 {
		t.Errorf("missing is %+v", m)
	}
	id, m := site1.begin(t, s, approver, site.ID, BeginOptions{})
	if len(m.Files) != 2 || len(m.Functions) != 1 {
		t.Errorf("taken over from somebody else: missing is only %+v", m)
	}
	site1.upload(t, approver, id, m, s)
	s.workOff(t.Context())
	if _, m := site1.begin(t, s, approver, site.ID, BeginOptions{}); len(m.Files)+len(m.Functions) != 0 {
		t.Errorf("of an approver's own deploy, missing is %+v", m)
	}
	again, err := s.Restage(t.Context(), approver, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.workOff(t.Context())
	if got := state(t, s, again.ID); got.State != weir.DeployReady {
		t.Errorf("a deploy that was chosen to be repeated: %+v", got)
	}
}

func TestCancelAndTooManyOpen(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{Limits: Limits{Open: 2}})
	site := newSite(t, s)
	id, m := site1.begin(t, s, dev, site.ID, BeginOptions{})
	if _, err := s.Begin(t.Context(), dev, site.ID, BeginOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Begin(t.Context(), dev, site.ID, BeginOptions{})
	expect(t, "a third one", err, weir.Busy)
	site1.upload(t, dev, id, Missing{Files: m.Files[:1]}, s)
	d, err := s.Cancel(t.Context(), dev, id)
	if err != nil || d.State != weir.DeployFailed || !strings.Contains(d.Error, "cancelled by dev") {
		t.Errorf("got %+v %v", d, err)
	}
	expect(t, "an upload", s.UploadFile(t.Context(), dev, id, "index.html", strings.NewReader("hello")), weir.Conflict)
	if _, err := s.Cancel(t.Context(), dev, id); err != nil {
		t.Error(err)
	}
	if d := site1.deploy(t, s, dev, site.ID, BeginOptions{}); d.State != weir.DeployReady {
		t.Errorf("after that there is room: %+v", d)
	}
	f.advance(25 * time.Hour)
	s.look(t.Context())
	s.workOff(t.Context())
	left, err := s.Deploys(t.Context(), site.ID, Filter{State: weir.DeployFailed})
	if err != nil || len(left) != 2 || !strings.Contains(left[0].Error, "within a day") {
		t.Errorf("what nobody goes on with has failed: %+v %v", left, err)
	}
}

func TestWhatTheStageSays(t *testing.T) {
	s, f := newService(t)
	site := newSite(t, s)
	fault := &weir.Error{Code: weir.Invalid, Message: "the zip\x1b is broken", Remedy: "zip it again"}
	for _, c := range []struct {
		err  error
		want string
	}{{fault, "the zip\uFFFD is broken; zip it again"}, {errors.New("secret detail"), "the server could not process the deploy; see its log"}} {
		f.stage = func(context.Context, StageInput) (StageOutput, error) { return StageOutput{}, c.err }
		d := site1.deploy(t, s, dev, site.ID, BeginOptions{})
		if d.State != weir.DeployFailed || d.Error != c.want || d.Done.IsZero() || reread(t, s, site).Published != "" {
			t.Errorf("got %+v", d)
		}
	}
	// What is nobody's fault is tried again.
	f.stage = func(context.Context, StageInput) (StageOutput, error) {
		return StageOutput{}, &weir.Error{Code: weir.Unavailable, Message: "no room"}
	}
	d := site1.deploy(t, s, dev, site.ID, BeginOptions{})
	for range 2 * maxAttempts {
		f.advance(retryTime + time.Second)
		s.look(t.Context())
		s.workOff(t.Context())
	}
	if got := state(t, s, d.ID); got.State != weir.DeployProcessing {
		t.Errorf("got %+v", got)
	}
	f.stage = nil
	f.advance(retryTime + time.Second)
	s.look(t.Context())
	s.workOff(t.Context())
	if got := state(t, s, d.ID); got.State != weir.DeployReady {
		t.Errorf("got %+v", got)
	}
}

// TestAServerEndsOverADeploy: another one goes on, but not for ever.
func TestAServerEndsOverADeploy(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{})
	site := newSite(t, s)
	id, m := site1.begin(t, s, dev, site.ID, BeginOptions{})
	site1.upload(t, dev, id, m, s)
	r, err := s.readDeploy(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if more, err := s.complete(t.Context(), r); !more || err != nil {
		t.Fatal(more, err)
	}
	dies := func(s *Service) { // takes the deploy, and is not heard of again
		if _, err := s.updateDeploy(t.Context(), r, s.take); err != nil {
			t.Fatal(err)
		}
	}
	look := func(s *Service) weir.Deploy {
		s.look(t.Context())
		s.workOff(t.Context())
		return state(t, s, id)
	}
	dies(newServer(t, st, f, Options{}))
	if d := look(s); d.State != weir.DeployProcessing {
		t.Errorf("another server has it: %+v", d)
	}
	f.advance(leaseTime + time.Second)
	if d := look(s); d.State != weir.DeployReady || reread(t, s, site).Published != id {
		t.Errorf("got %+v", d)
	}
	// Each server ends over this one.
	id, m = folder{"index.html": "poison"}.begin(t, s, dev, site.ID, BeginOptions{})
	folder{"index.html": "poison"}.upload(t, dev, id, m, s)
	if r, err = s.readDeploy(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.complete(t.Context(), r)
	for range maxAttempts {
		dies(newServer(t, st, f, Options{}))
		f.advance(leaseTime + time.Second)
	}
	if d := look(s); d.State != weir.DeployFailed || !strings.Contains(d.Error, "again and again") {
		t.Errorf("got %+v", d)
	}
}

// TestEndingBetweenReadyAndPublished: what was on its way to production gets there.
func TestEndingBetweenReadyAndPublished(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{})
	site := newSite(t, s)
	id, m := site1.begin(t, s, dev, site.ID, BeginOptions{})
	site1.upload(t, dev, id, m, s)
	r, _ := s.readDeploy(t.Context(), id)
	s.complete(t.Context(), r)
	r, err := s.updateDeploy(t.Context(), r, s.take)
	if err == nil {
		err = s.makeReady(t.Context(), r)
	}
	if err != nil || reread(t, s, site).Published != "" {
		t.Fatal(err)
	}
	f.advance(idleTime)
	other := newServer(t, st, f, Options{})
	other.look(t.Context())
	other.workOff(t.Context())
	if reread(t, s, site).Published != id {
		t.Error("it was not published")
	}
}

// TestTheJournalFails: no change without its record.
func TestTheJournalFails(t *testing.T) {
	s, f := newService(t)
	site := newSite(t, s)
	first := site1.deploy(t, s, approver, site.ID, BeginOptions{})
	second := folder{"index.html": "2"}.deploy(t, s, approver, site.ID, BeginOptions{})
	held := folder{"rules": "a.example", "functions/f": "f"}.deploy(t, s, dev, site.ID, BeginOptions{})
	before, changes := reread(t, s, site), len(f.changes)
	f.deaf = true
	ctx, name := t.Context(), "other"
	for what, do := range map[string]func() error{
		"create":   func() error { _, err := s.CreateSite(ctx, dev, "x"); return err },
		"update":   func() error { _, err := s.UpdateSite(ctx, dev, site.ID, SiteChange{Name: &name}); return err },
		"lock":     func() error { _, err := s.Lock(ctx, dev, site.ID); return err },
		"delete":   func() error { return s.DeleteSite(ctx, dev, site.ID) },
		"begin":    func() error { _, err := s.Begin(ctx, dev, site.ID, BeginOptions{}); return err },
		"publish":  func() error { _, err := s.Publish(ctx, approver, first.ID); return err },
		"rollback": func() error { _, err := s.Rollback(ctx, approver, site.ID); return err },
		"approve":  func() error { _, err := s.Approve(ctx, approver, held.ID, ""); return err },
		"reject":   func() error { _, err := s.Reject(ctx, approver, held.ID, ""); return err },
		"remove":   func() error { return s.DeleteDeploy(ctx, dev, held.ID) },
		"policy":   func() error { return s.SetPolicy(ctx, approver, site.ID, "b.example") },
	} {
		expect(t, what, do(), weir.Unavailable)
	}
	after := reread(t, s, site)
	if after.Published != second.ID || after.Updated != before.Updated || state(t, s, held.ID).Review != weir.ReviewHeld || len(f.changes) != changes {
		t.Errorf("something was changed: %+v", after)
	}
	f.deaf = false
	if got, err := s.Deploys(ctx, site.ID, Filter{}); err != nil || len(got) != 3 {
		t.Errorf("%d deploys, %v", len(got), err)
	}
	if _, err := s.CreateSite(ctx, dev, "x"); err != nil {
		t.Errorf("the name was not free: %v", err)
	}
}
