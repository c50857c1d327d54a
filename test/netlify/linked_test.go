package netlify

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestTheRealCLIInALinkedFolder: with what the page about the switch says, a folder knows its site.
func TestTheRealCLIInALinkedFolder(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the CLI comes with a Node.js for amd64")
	}
	page, err := os.ReadFile("../../docs/migrate-from-netlify.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)linked\.mjs <<'END'\n(.*?)\n    END\n`).FindSubmatch(page)
	if found == nil {
		t.Fatal("the page has no linked.mjs any more")
	}
	p := newPlatform(t)
	p.cli = packages(t, "testdata/cli", "weir-test-cli")
	first := filepath.Join(p.home, "linked.mjs")
	if err := os.WriteFile(first, found[1], 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = []string{"NODE_OPTIONS=--import=" + first}
	p.netlify("sites:create", "--name", "shop", "--account-slug", "default", "--disable-linking")
	p.netlify("link", "--name", "shop")
	p.netlify("deploy", "--no-build", "--prod")
	p.netlify("env:set", "GREETING", "linked", "--context", "production")
	p.want(strings.Replace(p.url, "127.0.0.1", "shop.localhost", 1)+"/.netlify/functions/hello", 200, "hello linked")
	for command, want := range map[string]string{"functions:list": `"isDeployed": true`, "status": `"site-name": "shop"`, "env:list": `"GREETING": "linked"`} {
		args := []string{command, "--json"}
		if command == "env:list" {
			args = append(args, "--context", "production")
		}
		if out := p.netlify(args...); !strings.Contains(out, want) {
			t.Errorf("%s: %s", command, out)
		}
	}
}
