package site

// The rules of a site's URLs: _redirects and _headers in the publish folder, and netlify.toml.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/weir-run/weir/internal/routing"
)

// readRules reads them. A fault is a warning, as on Netlify.
func (s *Site) readRules(c *config) {
	sources := routing.Sources{Config: routing.Text{Name: c.file, Text: c.source}}
	if s.Publish != "" {
		sources.Redirects = s.rulesFile("_redirects")
		sources.Headers = s.rulesFile("_headers")
	}
	for _, name := range []string{"_redirects", "_headers"} {
		if file := filepath.Join(s.Base, name); isRegular(file) {
			s.warn("%s: it lies outside of the publish folder, so its rules are not applied, as on Netlify's own network; put it there", s.Rel(file))
		}
	}
	rules, warnings := routing.Parse(sources)
	s.Rules = rules
	s.Warnings = append(s.Warnings, warnings...)
}

// rulesFile reads a file of the publish folder, no link that leads out of it; one that is not there is empty.
func (s *Site) rulesFile(name string) routing.Text {
	t := routing.Text{Name: s.Rel(filepath.Join(s.Publish, name))}
	data, err := readWithin(s.Publish, name, routing.MaxText)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.warn("%s: none of its rules is applied: %v; make it a plain file of the publish folder", t.Name, err)
	}
	t.Text = string(data)
	return t
}

// readWithin reads a regular file of at most max bytes that lies in a folder.
func readWithin(dir, name string, max int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not to wait for the writer of a named pipe
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > max:
		return nil, fmt.Errorf("it is larger than %d MB", max>>20)
	}
	return io.ReadAll(io.LimitReader(f, max))
}
