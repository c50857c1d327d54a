package build

// The archive in which `weir deploy` uploads a function that it has built. It holds the function's files as they
// stand in the artifact, and one more that says what they are; read back, it gives the very same bundle. Only who is
// told so by the upload reads that file: in any other archive it is left out, so that a package that brings one
// can't make of a function what its author has not built.

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// PackedRuntime is what an upload says of its runtime if its archive is one of Upload.Archive.
const PackedRuntime = "weir"

const (
	formName   = weir.PackDir + "/function.json"
	formFormat = 1
	maxForm    = 4 << 20 // bytes of function.json
	maxExport  = 256     // bytes of the name of an export
)

// packedForm is function.json.
type packedForm struct {
	Format        int
	Entry, Export string
	Form          string // "pack" or "bundle"
	Config        weir.FunctionConfig
	Policy        *policy.Policy `json:",omitempty"` // of its Intrinsic bootstrap file
}

// Uploads are the functions of a site that were built to be sent to a server. They must be closed.
type Uploads struct {
	Publish   string   // as an Artifact's
	Functions []Upload // in the site's order
	Warnings  []string // one line each, for the site's author

	done func()
}

// Upload is a function as a server takes it.
type Upload struct {
	Name   string
	Config weir.FunctionConfig
	Err    error  // why the function can't be served
	Why    string // it is no pack; "" if it is one, or nobody tried

	form  packedForm
	files tree
}

// BuildUploads builds every function of s as Build does, but writes only those that have to be tried. Errors are those
// of Build.
func BuildUploads(ctx context.Context, s *site.Site, o Options) (_ *Uploads, err error) {
	built, done, err := buildFunctions(ctx, s, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	dir, removed, err := scratchFolder(o.StateDir)
	if err != nil {
		return nil, err
	}
	defer removed()
	if err := os.Chmod(dir, 0o755); err != nil { // the sandbox's user reads it
		return nil, err
	}
	out, policies := &Uploads{Publish: s.Publish, Functions: make([]Upload, len(built)), done: done}, policiesOf(built)
	err = eachFunction(built, func(i int) (err error) {
		out.Functions[i], err = built[i].upload(ctx, o, filepath.Join(dir, built[i].name), policies)
		return err
	})
	if err != nil {
		return nil, err
	}
	var functions []Function
	for i := range built {
		b, u := &built[i], &out.Functions[i]
		u.Name, u.Err, u.Why = b.name, b.err, b.pack.why
		functions = append(functions, Function{Bundle: weir.Bundle{Function: b.name, Config: u.Config}})
	}
	out.Warnings = warnings(built, functions)
	return out, nil
}

// Close removes what the uploads came from.
func (u *Uploads) Close() { u.done() }

// upload chooses the form of a function. If it has to be tried, its files are put into dir for that.
func (b *output) upload(ctx context.Context, o Options, dir string, policies []*policy.Policy) (Upload, error) {
	if o.Smoke != nil && b.pack.files != nil {
		f := b.asPack()
		if err := writeFiles(ctx, "", b.pack.files, &f); err != nil {
			return Upload{}, err
		}
		put := func() error { return writeFiles(ctx, dir, b.pack.files, &contentFunction{}) }
		loads, err := b.loads(ctx, o, Trial{f.id(), f.function(dir), policies, put})
		if loads || err != nil {
			return f.upload(b.pack.files), err
		}
	}
	f := b.asBundle()
	return f.upload(b.files), nil
}

func (f *contentFunction) upload(files tree) Upload {
	form := packedForm{Format: formFormat, Entry: f.Entry, Export: f.Export, Form: f.Form, Config: f.Config}
	if f.Policy != nil && f.Policy.Intrinsic {
		form.Policy = ofBootstrap(f.Policy)
	}
	return Upload{Config: f.Config, form: form, files: files}
}

// ofBootstrap gives what of a policy comes from a bootstrap file: weir.toml goes its own way to the server.
func ofBootstrap(p *policy.Policy) *policy.Policy {
	own := &policy.Policy{Source: p.Source, Rules: p.Rules, Intrinsic: true}
	if at, ok := p.Settings["mode"]; ok && at.File == p.Source {
		own.Mode, own.Settings = p.Mode, map[string]weir.Position{"mode": at}
	}
	return own
}

// Archive writes the archive of the function, which Unpack reads if Archive.Packed says so. The same function gives the
// same bytes, as long as its files are the same. The error is the function's own if it is broken.
func (u *Upload) Archive(ctx context.Context, w io.Writer) error {
	if u.Err != nil {
		return u.Err
	}
	if _, taken := u.files[formName]; taken {
		return &weir.Error{Code: weir.Invalid, Message: "the function has a file of its own at " + formName, Remedy: "leave it out of included_files"}
	}
	about, err := json.Marshal(u.form)
	if err != nil {
		return err
	}
	out := zip.NewWriter(w)
	if err := addEntry(out, formName, 0o644, bytes.NewReader(about)); err != nil {
		return err
	}
	for _, name := range u.files.names() {
		if err := cmp.Or(ctx.Err(), addSource(out, name, u.files[name])); err != nil {
			return err
		}
	}
	return out.Close()
}

func addSource(out *zip.Writer, name string, src source) error {
	if src.link != "" {
		return addEntry(out, name, 0o777|fs.ModeSymlink, strings.NewReader(src.link))
	}
	from, exec, err := src.open()
	if err != nil {
		return err
	}
	defer from.Close()
	mode := fs.FileMode(0o644)
	if exec {
		mode = 0o755
	}
	return addEntry(out, name, mode, from)
}

// addEntry writes one entry, without a time.
func addEntry(out *zip.Writer, name string, mode fs.FileMode, content io.Reader) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(mode)
	to, err := out.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, content)
	return err
}

// readForm takes what function.json says, as far as it fits what else is there.
func (a *archive) readForm() error {
	bad := func(format string, args ...any) error {
		return broken(a.shown, formName+" "+fmt.Sprintf(format, args...), "deploy the function anew")
	}
	data, err := a.read(formName)
	if err != nil || len(data) > maxForm {
		return bad("is missing, or too large")
	}
	var form packedForm
	var version struct{ Format int }
	if json.Unmarshal(data, &version) != nil {
		return bad("is no JSON object")
	}
	if version.Format != formFormat {
		return broken(a.shown, fmt.Sprintf("%s has format %d, and this server reads %d", formName, version.Format, formFormat),
			"deploy with the version of weir that the server has")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	switch err := dec.Decode(&form); {
	case err != nil:
		return bad("can't be read")
	case form.Form != formPack && form.Form != formBundle:
		return bad("names the unknown form %.40q", form.Form)
	case a.files[form.Entry].path == "":
		return bad("names the entry %.80q, which is no file of the archive", form.Entry)
	case form.Form == formPack && (a.files[weir.PackDir+"/pack.js"].path == "" || a.files[weir.PackDir+"/pack.json"].path == ""):
		return bad("says that this is a pack, and there is none")
	case form.Export == "" || len(form.Export) > maxExport || !utf8.ValidString(form.Export):
		return bad("names the export %.40q", form.Export)
	}
	if form.Policy != nil {
		if _, err := policy.Compile(form.Policy); err != nil || !reflect.DeepEqual(form.Policy, ofBootstrap(form.Policy)) {
			return bad("holds a policy that no bootstrap file can have")
		}
	}
	if err := os.Remove(a.files[formName].path); err != nil {
		return err
	}
	os.Remove(filepath.Join(a.dir, weir.PackDir)) // unless there is more in it
	delete(a.files, formName)
	a.form, a.entry, a.export, a.config, a.policy = form.Form, form.Entry, form.Export, form.Config, form.Policy
	return nil
}
