package site

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNames(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"netlify.toml":                          "[build]\npublish = \"public\"\n",
		"netlify/functions/pay.js":              "const api = 'https://api.pay.test:8443/v1', db = { host: \"DB.pay.test\" };\nfetch(`https://${shop}.shops.test/x`); open(name + '.tail.test'); mail.endsWith('.co.uk'); get(o, 'user.name') + get(o, 'order.profile.id') + 'https://api.pay.name/' + 'smtp.pay.com';\nfs.readFileSync('/srv/prices/' + f); if (process.env.PAY_KEY) event.name; //event.body = 1\nconst r = require('./lib.cjs'); app.get('/api', h); // see https://docs.pay.test/x\n",
		"netlify/functions/node_modules/x/i.js": "fetch('https://drop.evil.test/'); process.env.NPM_TOKEN",
		"node_modules/y/i.js":                   "fetch('https://drop.evil.test/')",
		"public/app.js":                         "fetch('https://front.evil.test/')",
		".cache/z.js":                           "fetch('https://cache.evil.test/')",
		"weir.toml":                             "# \"GET https://old.evil.test/\",",
		"package-lock.json":                     "{\"resolved\": \"https://registry.evil.test/x\"}",
		"config.yaml":                           "smtp: \"mail@smtp.pay.test\"",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := s.Names(s.Functions[0])
	for host, want := range map[string]string{
		"api.pay.test": "netlify/functions/pay.js", "db.pay.test": "netlify/functions/pay.js", "docs.pay.test": "",
		"one.shops.test": "netlify/functions/pay.js", "a.b.shops.test": "netlify/functions/pay.js", "x.tail.test": "netlify/functions/pay.js", "smtp.pay.test": "",
		"shops.test": "", "pay.test": "", "evil.api.pay.test": "", "drop.evil.test": "", "front.evil.test": "", "cache.evil.test": "", "old.evil.test": "", "registry.evil.test": "",
		"evil.co.uk": "", "user.name": "", "order.profile.id": "", "api.pay.name": "netlify/functions/pay.js", "smtp.pay.com": "netlify/functions/pay.js", "event.name": "", "event.body": "", "process.env": "",
	} {
		if got := n.Host(host); got != want {
			t.Errorf("%s is named by %q, want %q", host, got, want)
		}
	}
	for word, want := range map[string]bool{"PAY_KEY": true, "NPM_TOKEN": false} {
		if n.Word(word) != want {
			t.Errorf("%s is named: %v", word, !want)
		}
	}
	for path, want := range map[string]bool{"/srv/prices/eu.csv": true, "/srv/prices": true, "/srv/prices/a/b": true, "/srv/other": false, "/srv": false, "/api": true, "/api/x": false, "/etc/passwd": false, "/": false} {
		if n.Path(path) != want {
			t.Errorf("%s is named: %v", path, !want)
		}
	}
}

// TestNamesOfOneFunction: a function's own code is its file and what that imports. What another function
// names, a package, a comment, or a file that can't be told from comments, is not its own.
func TestNamesOfOneFunction(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"netlify/functions/pay.ts": "import { a } from '../../lib/a.js'\nexport * from \"./pay/b\"\nconst c = require('../../lib'), d = await import('../../lib/d.mjs')\n" +
			"import e from '../../lib/e.json'; import p from 'p'; import './gone'; import '../../lib/broken'; import '../../node_modules/p/own.js'\n" +
			"/* https://comment.test */ const r = /https:..regexp.test/ // import '../../lib/f'\nimport '../../../outside.js'",
		"netlify/functions/pay/b.ts": "fetch('https://b.test/')",
		"netlify/functions/other.js": "fetch('https://other.test/' + process.env.OTHER)",
		"lib/a.ts":                   "import './deep'; fetch('https://a.test/')",
		"lib/deep/index.js":          "import '../a'; fetch('https://deep.test/')",
		"lib/index.js":               "fetch('https://c.test/')",
		"lib/d.mjs":                  "fetch('https://d.test/')",
		"lib/e.json":                 `{"url": "https://e.test/"}`,
		"lib/f.js":                   "fetch('https://f.test/')",
		"lib/broken.js":              "fetch('https://broken.test/') + '\n",
		"node_modules/p/index.js":    "fetch('https://p.test/')",
		"node_modules/p/own.js":      "fetch('https://p.test/')",
		"../outside.js":              "fetch('https://outside.test/')",
		"netlify.toml":               "[context.dev.environment]\nURL = \"https://settings.test\"\n",
	} {
		file := filepath.Join(dir, "site", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	n := s.Names(s.Functions[1])
	for host, want := range map[string]string{"a.test": "lib/a.ts", "b.test": "netlify/functions/pay/b.ts", "c.test": "lib/index.js", "d.test": "lib/d.mjs",
		"e.test": "lib/e.json", "deep.test": "lib/deep/index.js"} {
		if got := n.Host(host); got != want {
			t.Errorf("%s is named by %q, want %q", host, got, want)
		}
	}
	for _, host := range []string{"other.test", "comment.test", "regexp.test", "f.test", "broken.test", "p.test", "outside.test", "settings.test"} {
		if got := n.Host(host); got != "" {
			t.Errorf("%s is named by %q", host, got)
		}
	}
	if n.Word("OTHER") {
		t.Error("the variable of another function is named")
	}
}
