package house

// The pages stand alone: what they link to is there, and they name every package.

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxDocLine is how long a line of prose or of an example may be; a row of a table can't be broken.
const maxDocLine = 120

var (
	docLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// pages gives the pages by their paths from the top.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no docs: %v", err)
	}
	out := map[string]string{}
	for _, f := range append(files, "../../README.md", "../../CONTRIBUTING.md") {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(b)
	}
	return out
}

// anchors gives the names under which the headings of a page can be linked to, as GitHub makes them.
func anchors(page string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(name, " ", "-")] = true
	}
	return out
}

func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	all := pages(t)
	for file, page := range all {
		for _, m := range docLink.FindAllStringSubmatch(page, -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			} else if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s links to %s, which has no such heading", file, m[1])
			}
		}
	}
}

func TestEveryPageIsFoundFromTheReadme(t *testing.T) {
	all := pages(t)
	for file := range all {
		if name := strings.TrimPrefix(file, "../../"); name != "README.md" && !strings.Contains(all["../../README.md"], "("+name+")") {
			t.Errorf("README.md does not lead to %s", name)
		}
	}
}

func TestLinesOfThePagesStayShort(t *testing.T) {
	for file, page := range pages(t) {
		for i, line := range strings.Split(page, "\n") {
			if n := len([]rune(line)); n > maxDocLine && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d has %d characters: break it at %d", file, i+1, n, maxDocLine)
			}
		}
	}
}

func TestArchitectureNamesEveryPackage(t *testing.T) {
	page := pages(t)["../../docs/architecture.md"]
	for name := range house {
		if strings.HasPrefix(name, "internal/policy/") && name != "internal/policy/tomlpolicy" && strings.Contains(page, "`.../"+filepath.Base(name)+"`") {
			continue
		}
		if !strings.Contains(page, "| `"+name+"`") {
			t.Errorf("docs/architecture.md has no row for %s", name)
		}
	}
}
