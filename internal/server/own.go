package server

// Files that decide what functions may, or prove who this server is: where one lies, no function may write.

import (
	"path/filepath"
	"slices"
)

// ownFiles gives the server's files that lie outside of its state directory, which no rule opens.
func (o *ServeOptions) ownFiles() (list []string, err error) {
	named := []string{o.Ceiling.Name(), o.EnvKeyFile, o.NATS.Creds}
	for _, c := range slices.Concat(o.Certificates, o.APICertificates) {
		named = append(named, c.Cert, c.Key)
	}
	for _, path := range named {
		if path == "" {
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		list = append(list, path)
	}
	return list, nil
}
