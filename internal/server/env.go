package server

// The site's variables: from .env files only, never from the environment of Weir itself.

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/joho/godotenv"

	"github.com/weir-run/weir/internal/weir"
)

// environment gives the site's variables: of its .env file, if it has one, then of every
// --env-file in order; later files win.
func (d *Dev) environment(dir string) (map[string]string, error) {
	env := map[string]string{}
	files := d.opts.EnvFiles
	own := filepath.Join(dir, ".env")
	if _, err := os.Stat(own); err == nil {
		files = append([]string{own}, files...)
	}
	for _, f := range files {
		more, err := godotenv.Read(f)
		if errors.Is(err, os.ErrNotExist) {
			return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: f}, Message: "no such file", Remedy: "check --env-file"}
		}
		if err != nil {
			// The parser's text quotes the line it stumbled on, and that may be a secret.
			return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: f},
				Message: "not a file of variables", Remedy: "write one NAME=value on each line, values with blanks in quotes"}
		}
		maps.Copy(env, more)
	}
	return env, nil
}

// platform gives the variables that every function of the site sees (Netlify's, for functions).
func (d *Dev) platform() map[string]string {
	return map[string]string{
		"URL":         fmt.Sprintf("http://%s", d.Addr()),
		"SITE_NAME":   filepath.Base(d.opts.Dir),
		"SITE_ID":     "dev",
		"NETLIFY_DEV": "true",
	}
}
