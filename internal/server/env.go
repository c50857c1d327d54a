package server

// The site's variables: from .env files only, never from the environment of Weir itself.

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
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
		more, err := readDotenv(f)
		if err != nil {
			return nil, err
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

// headers gives what every function is told by headers of the site and its deploy, as Netlify does. Where a
// caller is, nobody knows here: x-nf-geo is an empty object in base64.
func headers() map[string]string {
	return map[string]string{
		"x-nf-account-id":       "dev",
		"x-nf-site-id":          "dev",
		"x-nf-deploy-context":   "dev",
		"x-nf-deploy-id":        "0",
		"x-nf-deploy-published": "0",
		"x-nf-geo":              "e30=",
	}
}

// buildEnv gives the site's variables as the build sees them: with those by which Netlify tells one
// kind of deploy from another.
func buildEnv(env map[string]string) map[string]string {
	out := map[string]string{"CONTEXT": "dev", "NETLIFY": "true", "NETLIFY_DEV": "true"}
	maps.Copy(out, env)
	return out
}
