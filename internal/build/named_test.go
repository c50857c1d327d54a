package build

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestWebAssembly: modules come along where the code names them, and by included_files.
func TestWebAssembly(t *testing.T) {
	dir := newSite(t, `-- netlify.toml --
[functions]
directory = "functions"
[functions.included]
included_files = ["lib/*.wasm"]
-- functions/named.mjs --
import { readFileSync } from 'node:fs';
const module = new WebAssembly.Module(readFileSync(new URL('../lib/sum.wasm', import.meta.url)));
export const handler = async () => new WebAssembly.Instance(module).exports.sum(2, 3);
-- functions/included.js --
const { readFileSync } = require('fs');
const { join } = require('path');
const name = ['sum', 'wasm'].join('.');
exports.handler = async () => new WebAssembly.Instance(new WebAssembly.Module(readFileSync(join(__dirname, '../lib', name)))).exports.sum(2, 3);
-- functions/imported.mjs --
import sum from '../lib/sum.wasm';
export const handler = async () => typeof sum;
`)
	// (module (func (export "sum") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
	put(t, filepath.Join(dir, "lib/sum.wasm"), "\x00asm\x01\x00\x00\x00\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\x00\x07\x07\x01\x03sum\x00\x00\x0a\x09\x01\x07\x00\x20\x00\x20\x01\x6a\x0b")
	a := build(t, dir, t.TempDir())
	defer a.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Functions {
		if f.Bundle.Function == "imported" { // which only new versions of Node.js run
			if _, err := os.Stat(filepath.Join(f.Bundle.Dir, "lib/sum.wasm")); f.Err != nil || err != nil || filepath.Ext(f.Bundle.Entry) != ".mjs" {
				t.Errorf("imported: %s %v %v", f.Bundle.Entry, f.Err, err)
			}
		} else if f.Err != nil {
			t.Errorf("%s: %v", f.Bundle.Function, f.Err)
		} else if got := call(t, f); got != "5" {
			t.Errorf("%s: %s", f.Bundle.Function, got)
		}
	}
}

// TestNamedFilesThatStayOut: a URL takes no file along that holds credentials or lies elsewhere.
func TestNamedFilesThatStayOut(t *testing.T) {
	root := newSite(t, `-- secret.txt --
not the site's
-- site/.env --
SECRET=not for functions
-- site/.npmrc --
token
-- site/server.key --
key
-- site/data.txt --
data
-- site/netlify/functions/fn.mjs --
import { existsSync } from 'node:fs';
const files = [new URL('../../data.txt', import.meta.url), new URL("../../.env", import.meta.url), new URL('../../.npmrc', import.meta.url),
  new URL('../../server.key', import.meta.url), new URL('../../../secret.txt', import.meta.url), new URL('../..%2f../secret.txt', import.meta.url), new URL('./missing', import.meta.url)];
export const handler = async () => files.map(existsSync);
`)
	a := build(t, filepath.Join(root, "site"), t.TempDir())
	defer a.Close()
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if f := a.Functions[0]; f.Err != nil {
		t.Error(f.Err)
	} else if got := call(t, f); got != "[true,false,false,false,false,false,false]" {
		t.Error(got)
	}
}

// TestNamedFolderThatIsTooLarge: nobody asked for it, so the function is built without it and says so.
func TestNamedFolderThatIsTooLarge(t *testing.T) {
	dir := newSite(t, plainSite+`-- functions/fn.js --
const fs = require('fs'), path = require('path');
exports.handler = async (e) => [fs.existsSync(path.join(__dirname, '../photos', '0')), fs.existsSync(path.join(__dirname, '../photos', e.name ?? '1'))];
`)
	for i := range maxNamedFiles + 1 {
		put(t, filepath.Join(dir, "photos", strconv.Itoa(i)), "")
	}
	a := build(t, dir, t.TempDir())
	defer a.Close()
	if got := call(t, a.Functions[0]); got != "[true,false]" {
		t.Error(got, a.Functions[0].Err)
	}
	if len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "photos: ") || !strings.Contains(a.Warnings[0], "included_files") {
		t.Errorf("warnings %q", a.Warnings)
	}
}
