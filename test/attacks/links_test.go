package attacks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlantedLinks: a function that may write a directory puts links in the place of files that rules of
// others name, and goes on swapping one of them while they start. None of them opens what it leads to.
func TestPlantedLinks(t *testing.T) {
	asEveryone(t, func(t *testing.T, uid int) {
		site, canary := siteCopy(t, uid)
		shared, err := os.MkdirTemp("/var/tmp", "weir-attacks-") // not in /tmp, which is the sandbox's own
		if err != nil {
			t.Skip("no other directory: ", err)
		}
		t.Cleanup(func() { os.RemoveAll(shared) })
		read := "const fs = require('fs'); let n = 0;\nexports.handler = async () => { const out = {}; for (const f of ['file', 'dir/secret.mjs', 'swapped.json']) {\n" +
			"  try { out[f] = fs.readFileSync('" + shared + "/sub/' + f, 'utf8'); } catch (e) { out[f] = 'blocked: ' + e.message; } }\n  setTimeout(() => process.exit(0), 20); return out; };"
		for file, text := range map[string]string{
			"weir.toml": "[functions.plant]\nwrite = ['" + shared + "/**']\n[functions.file]\nread = ['" + shared + "/sub/file']\n[functions.dir]\nwrite = ['" +
				shared + "/sub/dir/**']\n[functions.swapped]\nread = ['" + shared + "/sub/swapped.json']\n",
			"functions/file.js": read, "functions/dir.js": read, "functions/swapped.js": read, "functions/glob/handler.js": read,
			"functions/glob/glob.js": "const I = require('@intrinsic/lambda');\nmodule.exports = new I().configurePolicies((p) => p.fs.allowRead('" + shared +
				"/sub/*.json')).setHandlerFile(__dirname + '/handler.js').run();",
			"functions/plant.js": "const fs = require('fs'); const at = '" + shared + "/sub/';\nexports.handler = async ({ canary, ms }) => {\n" +
				"  if (!fs.existsSync(at)) { fs.mkdirSync(at + 'dir/', { recursive: true }); fs.writeFileSync(at + 'file', ''); fs.rmSync(at + 'file'); fs.rmdirSync(at + 'dir');\n" +
				"    fs.symlinkSync(canary, at + 'file'); fs.symlinkSync(canary.replace(/.[^/]*$/, ''), at + 'dir'); }\n" +
				"  for (const end = Date.now() + ms; Date.now() < end;) {\n    fs.writeFileSync(at + 'new', 'own'); fs.renameSync(at + 'new', at + 'swapped.json');\n" +
				"    fs.symlinkSync(canary, at + 'new'); fs.renameSync(at + 'new', at + 'swapped.json'); }\n  return 'planted'; };",
		} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(site, file)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(site, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(shared, 0o777); err != nil {
			t.Fatal(err)
		}
		w := start(t, uid, site)
		if r := w.invoke(t, "plant", map[string]any{"canary": canary, "ms": 1}); !strings.Contains(r.Payload, "planted") {
			t.Fatal(r.Payload)
		}
		done := make(chan reply)
		go func() { done <- w.invoke(t, "plant", map[string]any{"canary": canary, "ms": 2000}) }()
		for running := true; running; {
			select {
			case r := <-done:
				running = false
				if !strings.Contains(r.Payload, "planted") {
					t.Error(r.Payload)
				}
			default:
			}
			for _, name := range []string{"file", "dir", "swapped", "glob"} {
				if r := w.invoke(t, name, nil); strings.Contains(r.Payload, "canary-file") {
					t.Fatalf("%s shows a secret: %s", name, r.Payload)
				}
			}
		}
	})
}
