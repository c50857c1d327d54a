package cli

// The flags of commands that ask a server: which one, as whom, and about which site.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/weir"
)

// serverFlags name a server. A token is never the value of a flag: others can read those.
type serverFlags struct {
	server, tokenFile string
	plain, json       bool
}

func (f *serverFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.server, "server", "", "`URL` of the server (default: $WEIR_SERVER)")
	fl.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token (default: the token is $WEIR_TOKEN)")
	fl.BoolVar(&f.plain, "plain-http", false, "send the token over http to another machine, where the network can read it")
	fl.BoolVar(&f.json, "json", false, "print JSON")
}

// open gives a client of the server.
func (f *serverFlags) open(s *streams) (*client.Client, error) {
	server := f.server
	if server == "" {
		server = os.Getenv("WEIR_SERVER")
	}
	if server == "" {
		return nil, &usageError{errors.New("no server is named: give --server URL, or set WEIR_SERVER")}
	}
	token := os.Getenv("WEIR_TOKEN")
	if f.tokenFile != "" {
		b, err := readFile(f.tokenFile, "--token-file")
		if err != nil {
			return nil, err
		}
		token = string(b)
	}
	token = strings.TrimSpace(token)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the token holds spaces or other characters that no token has", Remedy: "give the line that weir token create printed, alone"}
	}
	return client.New(client.Options{Server: server, Token: token, Plain: f.plain, Again: tryingAgain(s)})
}

// tryingAgain tells why a command waits.
func tryingAgain(s *streams) func(error) {
	return func(err error) {
		var e *weir.Error
		if errors.As(err, &e) {
			err = &weir.Error{Code: e.Code, Message: e.Message, Err: e.Err} // what to do is done
		}
		fmt.Fprintf(s.err, "weir: %v; trying again\n", err)
	}
}

// siteFlag names the site that a command is about.
type siteFlag struct{ site string }

func (f *siteFlag) register(c *cobra.Command) {
	c.Flags().StringVar(&f.site, "site", "", "the site: its `NAME`, id or host name (default: the one that this folder is linked to)")
}

// linkFile holds the id of the site that a folder is linked to.
const linkFile = ".weir/site"

// find gives the site: the named one, or the one that dir is linked to.
func (f *siteFlag) find(dir string) (string, error) {
	if f.site != "" {
		return f.site, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, linkFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", &usageError{errors.New("no site is named: give --site NAME, or link this folder to one with weir sites link")}
	}
	id := strings.TrimSpace(string(b))
	if err != nil || id == "" || len(id) > 300 {
		return "", &weir.Error{Code: weir.Invalid, Message: filepath.Join(dir, linkFile) + " does not name a site", Err: err, Remedy: "remove it, and link the folder anew with weir sites link"}
	}
	return id, nil
}

// link links a folder to a site.
func link(dir, id string) error {
	path := filepath.Join(dir, linkFile)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(id+"\n"), 0o644)
	}
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "the folder can't be linked to the site", Err: err, Remedy: "make " + dir + " writable, or name the site with --site"}
	}
	return nil
}

// asked runs a command of a server. The command prints to out, which makes strangers' text fit for a terminal.
func asked(f *serverFlags, s *streams, do func(ctx context.Context, c *client.Client, out io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		cl, err := f.open(s)
		if err != nil {
			return err
		}
		return do(c.Context(), cl, messages{s.out}, args)
	}
}

// table prints rows with a heading, in columns. Cells must be printable.
func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return w.Flush()
}

// cell makes a text fit for a column.
func cell(s string) string { return words(weir.Cut(s, 200)) }

// words makes a text fit for the last column, where there is room for all that a server says is wrong.
func words(s string) string { return strings.ReplaceAll(weir.Printable(weir.Cut(s, 8<<10)), "\t", " ") }

// published says what a deploy is to its site.
func published(d wire.Deploy) string {
	switch {
	case d.Locked:
		return "published, locked"
	case d.Weir.Published:
		return "published"
	case d.Weir.Review != "":
		return d.Weir.Review
	case d.State != string(weir.DeployReady):
		return d.State
	case d.Draft:
		return "draft"
	}
	return "ready"
}
