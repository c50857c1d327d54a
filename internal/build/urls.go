package build

// Files that code names by new URL('./file', import.meta.url), as is usual where there is no __dirname: they are
// taken along, as Netlify's default bundler does.

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/weir-run/weir/internal/site"
)

var fileURL = regexp.MustCompile(`\bnew\s+URL\(\s*(?:"(\.{1,2}/[^"\n\\]+)"|'(\.{1,2}/[^'\n\\]+)')\s*,\s*import\.meta\.url\s*,?\s*\)`)

// filesIn takes along the files of the site's own that a source names so. What may hold credentials only
// included_files takes.
func (p *pass) filesIn(text, file string) {
	if !strings.Contains(text, "import.meta") {
		return
	}
	for _, m := range fileURL.FindAllStringSubmatch(text, -1) {
		name, err := url.PathUnescape(m[1] + m[2])
		if err != nil {
			continue
		}
		real, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(file), filepath.FromSlash(name)))
		if err != nil || !within(p.site.Base, real) || p.readable(real) != "" || private(p.placeOf(real)) {
			continue
		}
		p.reference(real)
	}
}

// private tells whether a place holds a hidden part, or may hold credentials.
func private(place string) bool {
	for part := range strings.SplitSeq(place, "/") {
		if part[0] == '.' || site.Credential(part) {
			return true
		}
	}
	return false
}
