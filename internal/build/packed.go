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
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// PackedRuntime is what an upload says of its runtime if its archive was made by Pack.
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

// Pack writes the archive of a function of an artifact, which Unpack reads if Archive.Packed says so. The same
// function gives the same bytes. The error is a weir.NotFound if there is no such function, and the function's own if
// it is broken.
func Pack(ctx context.Context, w io.Writer, a *Artifact, name string) error {
	i := slices.IndexFunc(a.Functions, func(f Function) bool { return f.Bundle.Function == name })
	if i < 0 {
		return &weir.Error{Code: weir.NotFound, Message: "there is no function " + weir.Printable(weir.Cut(name, 100))}
	}
	f := a.Functions[i]
	if f.Err != nil {
		return f.Err
	}
	form := packedForm{Format: formFormat, Entry: f.Bundle.Entry, Export: f.Bundle.Export, Form: formBundle, Config: f.Bundle.Config}
	if f.Bundle.Pack {
		form.Form = formPack
	}
	if f.Policy != nil && f.Policy.Intrinsic {
		form.Policy = ofBootstrap(f.Policy)
	}
	about, err := json.Marshal(form)
	if err != nil {
		return err
	}
	out := zip.NewWriter(w)
	if err := addEntry(out, formName, 0o644, bytes.NewReader(about)); err != nil {
		return err
	}
	err = filepath.WalkDir(f.Bundle.Dir, func(path string, e fs.DirEntry, err error) error {
		if err = cmp.Or(err, ctx.Err()); err != nil || e.IsDir() {
			return err
		}
		return addFile(out, f.Bundle.Dir, path, e)
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// ofBootstrap gives what of a policy comes from a bootstrap file: weir.toml goes its own way to the server.
func ofBootstrap(p *policy.Policy) *policy.Policy {
	own := &policy.Policy{Source: p.Source, Rules: p.Rules, Intrinsic: true}
	if at, ok := p.Settings["mode"]; ok && at.File == p.Source {
		own.Mode, own.Settings = p.Mode, map[string]weir.Position{"mode": at}
	}
	return own
}

func addFile(out *zip.Writer, dir, path string, e fs.DirEntry) error {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	name := filepath.ToSlash(rel)
	if name == formName {
		return &weir.Error{Code: weir.Invalid, Message: "the function has a file of its own at " + formName, Remedy: "leave it out of included_files"}
	}
	if e.Type()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return addEntry(out, name, 0o777|fs.ModeSymlink, strings.NewReader(target))
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return addEntry(out, name, info.Mode(), f)
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
