package netlify

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestWorkspaces: a site in a monorepo finds its packages, its neighbours and theirs, whichever way the package
// manager has linked them.
func TestWorkspaces(t *testing.T) {
	managers := filepath.Join(packages(t, "testdata/managers", "weir-test-managers"), "node_modules/.bin")
	for name, install := range map[string][]string{
		"npm":  {"npm", "install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--loglevel=error"},
		"pnpm": {filepath.Join(managers, "pnpm"), "install", "--prefer-offline", "--ignore-scripts"},
		"yarn": {filepath.Join(managers, "yarn"), "install", "--prefer-offline", "--ignore-scripts", "--non-interactive", "--no-lockfile"},
	} {
		t.Run(name, func(t *testing.T) {
			root := open(t)
			repository, err := txtar.ParseFile("testdata/monorepo.txtar")
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range repository.Files {
				to := filepath.Join(root, f.Name)
				if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(to, f.Data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := in(root, install[0], install[1:]...); err != nil {
				t.Skipf("needs packages from npm, which can't be had: %v\n%s", err, out)
			}
			url := serve(t, filepath.Join(root, "apps/site"))
			for _, function := range []string{"bundled", "carried"} {
				res, err := http.Get(url + "/.netlify/functions/" + function)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if want := `{"own":60000,"neighbours":"1h","queue":2,"file":"a file of the neighbour's\n"}`; err != nil || string(body) != want {
					t.Errorf("%s: %d %s %v", function, res.StatusCode, body, err)
				}
			}
		})
	}
}
