package cli

// weir invoke: one invocation, for scripts and for trying things out.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/weir"
)

func newInvoke(s *streams) *cobra.Command {
	var f siteFlags
	var dir, event, payload string
	c := &cobra.Command{
		Use:   "invoke NAME",
		Short: "Invoke one function of a site once, behind its walls",
		Long: `Builds the site, invokes the function NAME once with the given event and prints what the
handler gave, as JSON. If the handler throws, its error is printed instead and the exit
code is 5.`,
		Example: `  weir invoke hello
  weir invoke charge --event event.json --env-file .env.test
  weir invoke charge --payload '{"httpMethod":"POST","body":"{}"}' --dir site`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if event != "" && payload != "" {
				return &usageError{errors.New("--event and --payload exclude each other")}
			}
			ev, err := readEvent(s, event, payload)
			if err != nil {
				return err
			}
			return runInvoke(c.Context(), s, &f, dir, args[0], ev)
		},
	}
	f.register(c)
	c.Flags().StringVar(&dir, "dir", ".", "the folder `DIR` of the site")
	c.Flags().StringVar(&event, "event", "", "`FILE` with the event as JSON; - for standard input")
	c.Flags().StringVar(&payload, "payload", "", "the event as `JSON` (default: {})")
	return c
}

func readEvent(s *streams, file, payload string) (json.RawMessage, error) {
	raw, name := []byte(payload), "--payload"
	var err error
	switch {
	case file == "-":
		raw, err = io.ReadAll(s.in)
		name = "standard input"
	case file != "":
		raw, err = os.ReadFile(file)
		name = file
	case payload == "":
		raw = []byte("{}")
	}
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "can't read the event", Err: err, Remedy: "check --event"}
	}
	if !json.Valid(raw) {
		return nil, &weir.Error{Code: weir.Invalid, Message: name + " is not JSON", Remedy: `give an event such as {"httpMethod":"GET","path":"/"}`}
	}
	return raw, nil
}

func runInvoke(ctx context.Context, s *streams, f *siteFlags, dir, name string, event json.RawMessage) error {
	if f.records.toStdout() {
		return &usageError{errors.New("standard output is for what the function gives: name a file for --records")}
	}
	f.only, f.records.once = name, true
	d, closeAll, err := f.open(ctx, s, dir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer closeAll()
	if known := d.Functions(); !slices.Contains(known, name) {
		return noFunction(name, known)
	}
	res, err := d.Invoke(ctx, weir.Invocation{ID: ulid.Make().String(), Function: name, Event: event})
	if err == nil {
		res, err = res.Whole()
	}
	if err != nil {
		return err
	}
	if res.Error != nil {
		out, err := json.Marshal(res.Error)
		if err != nil {
			return err
		}
		fmt.Fprintln(s.out, weir.PrintableJSON(string(out)))
		return &quietExit{exitFunction}
	}
	fmt.Fprintln(s.out, weir.PrintableJSON(string(res.Payload)))
	return nil
}
