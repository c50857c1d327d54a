package deploys

// What a client says it has is checked before anything is kept of it: paths and names come from strangers.

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-run/weir/internal/weir"
)

// Declaration is what a deploy consists of, as its client says.
type Declaration struct {
	Files     map[string]string           // SHA-1 in hexadecimal, by path
	Functions map[string]DeclaredFunction // by name
	Async     bool                        // don't wait until it is known what has to be uploaded
}

// DeclaredFunction is a function of a declaration.
type DeclaredFunction struct {
	SHA256 string              `json:"sha256"` // of its archive
	Config weir.FunctionConfig `json:"config"`
}

// contents is a declaration that was checked.
type contents struct {
	Files     map[string]string           `json:"files"` // paths without a slash in front
	Functions map[string]DeclaredFunction `json:"functions"`
}

const (
	maxPath     = 1 << 10  // bytes
	maxDeclared = 32 << 20 // bytes of all paths of a deploy
)

var isFunctionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func (d *Declaration) check() (contents, error) {
	c := contents{Files: make(map[string]string, len(d.Files)), Functions: d.Functions}
	if len(d.Files) > maxFiles || len(d.Functions) > maxFunctions {
		return c, &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("a deploy has at most %d files and %d functions, and this one %d and %d",
			maxFiles, maxFunctions, len(d.Files), len(d.Functions)), Remedy: "leave out what isn't needed, or make several sites of it"}
	}
	total := 0
	for path, sum := range d.Files {
		name, err := cleanPath(path)
		if err != nil {
			return c, err
		}
		if !isSHA1.MatchString(sum) {
			return c, &weir.Error{Code: weir.Invalid, Message: "the SHA-1 of " + quote(path) + " is " + quote(sum), Remedy: "send 40 hexadecimal digits"}
		}
		if _, twice := c.Files[name]; twice {
			return c, badPath(path, "is named twice")
		}
		c.Files[name] = sum
		if total += len(name); total > maxDeclared {
			return c, &weir.Error{Code: weir.TooLarge, Message: "the paths of the deploy are too long together", Remedy: "use shorter paths"}
		}
	}
	for name, f := range d.Functions {
		if !isFunctionName.MatchString(name) {
			return c, &weir.Error{Code: weir.Invalid, Message: quote(name) + " can't be a function's name", Remedy: "use letters, digits, hyphens and underscores"}
		}
		if !isSHA256.MatchString(f.SHA256) {
			return c, &weir.Error{Code: weir.Invalid, Message: "the SHA-256 of the function " + name + " is " + quote(f.SHA256), Remedy: "send 64 hexadecimal digits"}
		}
	}
	return c, nil
}

func badPath(path, why string) error {
	return &weir.Error{Code: weir.Invalid, Message: "the file " + quote(path) + " " + why, Remedy: "rename the file"}
}

// cleanPath gives the one spelling of a path, which may have a slash in front.
func cleanPath(path string) (string, error) {
	name := strings.TrimPrefix(path, "/")
	switch {
	case len(name) > maxPath:
		return "", badPath(path, fmt.Sprintf("has a path of more than %d bytes", maxPath))
	case !utf8.ValidString(name):
		return "", badPath(path, "has a path that is not UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
		return "", badPath(path, "has a backslash or a control character in its path")
	}
	first, _, _ := strings.Cut(name, "/")
	if strings.EqualFold(first, ".netlify") && !strings.HasPrefix(name, deployConfig) {
		return "", badPath(path, "lies where the server's own paths are (edge functions are not run)")
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "", badPath(path, "has an empty segment, . or .. in its path")
		}
	}
	return name, nil
}

// deployConfig is where Netlify's build leaves settings of frameworks. It is uploaded like a file, and never served.
const deployConfig = ".netlify/deploy-config/"
