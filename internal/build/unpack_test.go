package build

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// uploaded makes an Archive of bytes.
func uploaded(name string, data []byte) Archive {
	sum := sha256.Sum256(data)
	return Archive{Name: name, SHA256: hex.EncodeToString(sum[:]),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// unpackAll unpacks archives into a state directory until the test ends.
func unpackAll(t *testing.T, state string, archives ...Archive) *Artifact {
	t.Helper()
	a, err := Unpack(t.Context(), UnpackOptions{StateDir: state, Functions: archives, Env: map[string]string{"CONTEXT": "production"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func symlink(h *zip.FileHeader) { h.SetMode(0o777 | os.ModeSymlink) }

const bootstrapFile = `const IntrinsicLambda = require('@intrinsic/lambda');
module.exports = new IntrinsicLambda()
  .configurePolicies(p => { p.outboundHttp.allowGet('https://a.example/' + process.env.CONTEXT) })
  .setHandlerFile(__dirname + '/lib/handler.js').run();
`

func v2Entry(file string) entry {
	return entry{"___netlify-entry-point.mjs", "import * as bootstrap from './___netlify-bootstrap.mjs';export const handler = bootstrap.getLambdaHandler('./" + file + ".mjs')", nil}
}

// layouts are archives of each kind, as Netlify's clients upload them.
func layouts(t *testing.T) []Archive {
	v2 := pack(t, v2Entry("functions/v2"),
		entry{"functions/v2.mjs", "export default () => {}; export const config = { path: '/source', method: 'GET' };", nil})
	declared := uploaded("declared", v2)
	declared.Config = weir.FunctionConfig{Form: weir.FormV1, Paths: []string{"/declared"}, Schedule: "@daily"}
	odd := uploaded("odd", v2)
	odd.Config = weir.FunctionConfig{Schedule: "now and then"}
	return []Archive{
		uploaded("work-background", pack(t, entry{"work-background.js", "exports.handler = async () => 'alone'", nil})),
		uploaded("boot", pack(t, entry{"boot.js", "module.exports = require('./functions/boot/boot.js')", nil}, entry{"functions/boot/boot.js", bootstrapFile, nil},
			entry{"functions/boot/lib/handler.js", "exports.handler = async () => 'walled'", nil})),
		uploaded("pnpm", pack(t, entry{"pnpm.js", "exports.handler = async () => require('a')", nil}, entry{"node_modules/a", ".pnpm/a@1/node_modules/a", symlink},
			entry{"node_modules/.pnpm/a@1/node_modules/a/index.js", "module.exports = 'a and ' + require('b')", nil}, entry{"node_modules/.pnpm/a@1/node_modules/b", "../../b@1/node_modules/b", symlink},
			entry{"node_modules/.pnpm/b@1/node_modules/b/index.js", "module.exports = 'b'", nil})),
		uploaded("v2", v2), declared, odd,
		uploaded("computed", pack(t, v2Entry("computed"), entry{"computed.mjs", "export default () => {}; export const config = { path: process.env.WHERE };", nil})),
		uploaded("empty", pack(t, entry{"other.js", "", nil})),
		uploaded("claims", pack(t, entry{"claims.js", "exports.handler = async () => 'as built'", nil}, entry{"evil.js", "exports.handler = async () => 'evil'", nil},
			entry{formName, `{"Format":1,"Entry":"evil.js","Export":"handler","Form":"bundle","Config":{}}`, nil})),
	}
}

func TestUnpack(t *testing.T) {
	all := layouts(t)
	state := t.TempDir()
	a := unpackAll(t, state, all...)
	got := map[string]Function{}
	for i, f := range a.Functions {
		if got[f.Bundle.Function] = f; i > 0 && a.Functions[i-1].Bundle.Function > f.Bundle.Function {
			t.Error("the functions are not in order")
		}
	}
	for name, want := range map[string]weir.FunctionConfig{
		"work-background": {Form: weir.FormV1, Background: true},
		"boot":            {Form: weir.FormV1},
		"pnpm":            {Form: weir.FormV1},
		"v2":              {Form: weir.FormV2, Paths: []string{"/source"}, Methods: []string{"GET"}},
		"declared":        {Form: weir.FormV2, Paths: []string{"/declared"}, Methods: []string{"GET"}, Schedule: "@daily"},
		"claims":          {Form: weir.FormV1},
		"computed":        {Form: weir.FormV2},
	} {
		if f := got[name]; f.Err != nil || !reflect.DeepEqual(f.Bundle.Config, want) {
			t.Errorf("%s: %+v %v", name, f.Bundle.Config, f.Err)
		}
	}
	for name, want := range map[string]string{"work-background": "alone", "boot": "walled", "pnpm": "a and b", "claims": "as built"} {
		if answer := call(t, got[name]); !strings.Contains(answer, want) {
			t.Errorf("%s answers %q", name, answer)
		}
	}
	for name, want := range map[string]string{"odd": `odd.zip: its configuration: "now and then" is no schedule`, "empty": "empty.zip: it holds no empty.js"} {
		if err := got[name].Err; weir.ErrorCode(err) != weir.Broken || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p := got["boot"].Policy; p == nil || !p.Intrinsic || len(p.Rules) != 1 || p.Rules[0].Pattern != "GET https://a.example/production" || p.Source != "boot.zip/functions/boot/boot.js" {
		t.Errorf("the bootstrap's policy is %+v", p)
	}
	if len(a.Warnings) != 2 || !strings.Contains(a.Warnings[0], "claims.zip: what lies in .weir is left out") ||
		!strings.Contains(a.Warnings[1], "computed.zip/computed.mjs:1:56: config.path can't be read") {
		t.Errorf("%q", a.Warnings)
	}
	if left := inStore(t, state); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
	// In any order, on any machine.
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	if again := unpackAll(t, t.TempDir(), all...); again.ID != a.ID {
		t.Error("another machine has another artifact")
	}
}

// TestWhatCannotBeUnpacked: what is nobody's fault among the functions is an error of all, and nothing is left.
func TestWhatCannotBeUnpacked(t *testing.T) {
	good := func(name string) Archive { return uploaded(name, pack(t, entry{name + ".js", "", nil})) }
	other := good("fn")
	other.SHA256 = strings.Repeat("0", 64)
	gone := good("fn")
	gone.Open = func() (io.ReadCloser, error) { return nil, errors.New("the store is away") }
	torn := good("fn")
	torn.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("PK"), failing{errors.New("the store broke off")})), nil
	}
	var large []Archive
	for i := range 17 {
		name := "f" + strings.Repeat("x", i)
		large = append(large, uploaded(name, sized(pack(t, entry{name + ".js", "", nil}), 249<<20)))
	}
	denied := func(string, *policy.Policy) (*policy.Policy, error) { return nil, errors.New("weir.toml is wrong") }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		all    []Archive
		policy func(string, *policy.Policy) (*policy.Policy, error)
		want   string
	}{
		"digest":   {t.Context(), []Archive{other}, nil, "its SHA-256 is "},
		"no store": {t.Context(), []Archive{good("a"), gone}, nil, "the store is away"},
		"torn":     {t.Context(), []Archive{torn}, nil, "the store broke off"},
		"twice":    {t.Context(), []Archive{good("fn"), good("a"), good("fn")}, nil, `there are two functions "fn"`},
		"name":     {t.Context(), []Archive{good("../fn")}, nil, "is no name of a function"},
		"no name":  {t.Context(), []Archive{good("")}, nil, "is no name of a function"},
		"all":      {t.Context(), large, nil, "more than 4 GB"},
		"policy":   {t.Context(), []Archive{good("fn")}, denied, "weir.toml is wrong"},
		"ended":    {ended, []Archive{good("fn")}, nil, "context canceled"},
	} {
		state := t.TempDir()
		if err := os.Mkdir(filepath.Join(state, "artifacts"), 0o755); err != nil {
			t.Fatal(err)
		}
		a, err := Unpack(c.ctx, UnpackOptions{StateDir: state, Functions: c.all, Policy: c.policy})
		if a != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left := inStore(t, state); len(left) != 0 {
			t.Errorf("%s leaves %q", name, left)
		}
	}
}

// TestNamesOfADeploy: many small archives are as bounded as a large one.
func TestNamesOfADeploy(t *testing.T) {
	b := newBudget(maxDeploy, maxDeployNames)
	for range maxDeployNames / 1000 {
		if !b.take(taken{Bytes: 1, Entries: 1000}) {
			t.Fatal("it is refused too early")
		}
	}
	if b.take(taken{Entries: 1}) {
		t.Error("one name more is taken")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestALargeArchiveIsItsFunctionsFault: no more of it is read than may be, and the others are served.
func TestALargeArchiveIsItsFunctionsFault(t *testing.T) {
	endless := Archive{Name: "endless", Open: func() (io.ReadCloser, error) { return io.NopCloser(zeros{}), nil }}
	a := unpackAll(t, t.TempDir(), endless, uploaded("fn", pack(t, entry{"fn.js", "", nil})))
	if err := a.Functions[0].Err; err == nil || !strings.Contains(err.Error(), "more than 250 MB") || a.Functions[1].Err != nil {
		t.Errorf("%v, %v", err, a.Functions[1].Err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestUploads: a function that was built here is the very same there, in each form.
func TestUploads(t *testing.T) {
	dir := newSite(t, `
-- netlify/functions/plain.mjs --
import { b } from '../../lib/b.mjs';
export default () => new Response(b);
export const config = { path: '/p/:id' };
-- lib/b.mjs --
export const b = 'b';
-- netlify/functions/boot/boot.js --
`+bootstrapFile+`
-- netlify/functions/boot/lib/handler.js --
exports.handler = async () => 'walled';
-- netlify/functions/await.mjs --
export const x = await 1;
export const handler = async () => 'waited';
-- netlify/functions/broken.mjs --
import './nowhere.mjs';
-- netlify/functions/files/files.js --
exports.handler = async () => 'with files';
-- netlify/functions/files/a.txt --
a
-- netlify/functions/files/a/b.txt --
b
-- netlify.toml --
[functions.files]
included_files = ["netlify/functions/files/**"]
`)
	if err := os.Chmod(filepath.Join(dir, "netlify/functions/files/a.txt"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{StateDir: t.TempDir(), Smoke: func(context.Context, Trial) error { return nil }}
	built, err := Build(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	defer built.Close()
	uploads, err := BuildUploads(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	defer uploads.Close()
	if !slices.Equal(uploads.Warnings, built.Warnings) || uploads.Publish != built.Publish {
		t.Errorf("%q, want %q", uploads.Warnings, built.Warnings)
	}
	var archives []Archive
	packs := 0
	for i, f := range uploads.Functions {
		var one, two bytes.Buffer
		err := errors.Join(f.Archive(t.Context(), &one), f.Archive(t.Context(), &two))
		if want := built.Functions[i]; f.Name != want.Bundle.Function || (f.Err != nil) != (want.Err != nil) || f.Why != want.Why || f.Err == nil && !reflect.DeepEqual(f.Config, want.Bundle.Config) {
			t.Errorf("%+v, want %+v", f, want)
		}
		if f.Err != nil {
			if err == nil {
				t.Error("a broken function is packed")
			}
			continue
		}
		if err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Fatalf("%s: %v, or packed twice it has other bytes", f.Name, err)
		}
		a := uploaded(f.Name, one.Bytes())
		a.Packed = true
		archives = append(archives, a)
		if f.Why == "" {
			packs++
		}
	}
	if len(archives) != 4 || packs != 3 {
		t.Fatalf("%d functions, %d packs", len(archives), packs)
	}
	there := unpackAll(t, t.TempDir(), archives...)
	if there.ID != built.ID {
		t.Errorf("the artifact differs: %+v, here %+v", there.Functions, built.Functions)
	}
	if left := inStore(t, o.StateDir); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
	// What the client says comes to what the archive says.
	i := slices.IndexFunc(archives, func(a Archive) bool { return a.Name == "plain" })
	archives[i].Config = weir.FunctionConfig{Background: true}
	there = unpackAll(t, t.TempDir(), archives...)
	if got := there.Functions[i].Bundle.Config; there.Functions[i].Bundle.Function != "plain" || got.Form != weir.FormV2 || !got.Background || !reflect.DeepEqual(got.Paths, []string{"/p/:id"}) {
		t.Errorf("%+v", got)
	}
}

// TestHostileForms: what function.json says must fit the rest.
func TestHostileForms(t *testing.T) {
	const rest = `"Export":"handler","Form":"bundle","Config":{}`
	var archives []Archive
	wants := map[string]string{}
	for name, c := range map[string]struct{ form, want string }{
		"none":     {"", "is missing"},
		"text":     {"x", "no JSON object"},
		"format":   {`{"Format":2,"Entry":"fn.js",` + rest + `}`, "has format 2, and this server reads 1"},
		"unknown":  {`{"Format":1,"Entry":"fn.js","Root":true,` + rest + `}`, "can't be read"},
		"missing":  {`{"Format":1,"Entry":"x.js",` + rest + `}`, "is no file of the archive"},
		"outside":  {`{"Format":1,"Entry":"../fn.js",` + rest + `}`, "is no file of the archive"},
		"link":     {`{"Format":1,"Entry":"link",` + rest + `}`, "is no file of the archive"},
		"form":     {`{"Format":1,"Entry":"fn.js","Export":"handler","Form":"tree"}`, "unknown form"},
		"pack":     {`{"Format":1,"Entry":"fn.js","Export":"handler","Form":"pack"}`, "there is none"},
		"export":   {`{"Format":1,"Entry":"fn.js","Export":"","Form":"bundle"}`, "names the export"},
		"method":   {`{"Format":1,"Entry":"fn.js","Export":"handler","Form":"bundle","Config":{"Methods":["BREW"]}}`, "is no method"},
		"kind":     {`{"Format":1,"Entry":"fn.js","Export":"handler","Form":"bundle","Config":{"Form":"v9"}}`, "is no form of a handler"},
		"path":     {`{"Format":1,"Entry":"fn.js","Export":"handler","Form":"bundle","Config":{"Paths":["/("]}}`, "is no path"},
		"rate":     {`{"Format":1,"Entry":"fn.js","Export":"handler","Form":"bundle","Config":{"RateLimit":{"Window":999,"Limit":1}}}`, "from 1 to 180 seconds"},
		"addons":   {`{"Format":1,"Entry":"fn.js",` + rest + `,"Policy":{"Intrinsic":true,"Addons":true}}`, "no bootstrap file can have"},
		"toml":     {`{"Format":1,"Entry":"fn.js",` + rest + `,"Policy":{}}`, "no bootstrap file can have"},
		"rule":     {`{"Format":1,"Entry":"fn.js",` + rest + `,"Policy":{"Intrinsic":true,"Rules":[{"Pattern":"GET gopher://x"}]}}`, "no bootstrap file can have"},
		"monitors": {`{"Format":1,"Entry":"fn.js",` + rest + `,"Policy":{"Intrinsic":true,"Mode":1}}`, "no bootstrap file can have"},
	} {
		entries := []entry{{"fn.js", "exports.handler = 1", nil}, {"link", "fn.js", symlink}}
		if c.form != "" {
			entries = append(entries, entry{formName, c.form, nil})
		}
		a := uploaded(name, pack(t, entries...))
		a.Packed = true
		archives, wants[name] = append(archives, a), c.want
	}
	for _, f := range unpackAll(t, t.TempDir(), archives...).Functions {
		if name := f.Bundle.Function; weir.ErrorCode(f.Err) != weir.Broken || !strings.Contains(f.Err.Error(), wants[name]) {
			t.Errorf("%s: %v", name, f.Err)
		}
	}
}

// TestAnOwnFunctionJSON: a site that has such a file can't be mistaken for what Archive says.
func TestAnOwnFunctionJSON(t *testing.T) {
	dir := newSite(t, "-- netlify/functions/fn.js --\nexports.handler = 1;\n-- netlify.toml --\n[functions]\nincluded_files = [\".weir/function.json\"]\n-- .weir/function.json --\n{}\n")
	s, err := site.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := BuildUploads(t.Context(), s, Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Functions[0].Archive(t.Context(), io.Discard); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "a file of its own") {
		t.Error(err)
	}
}
