package cli

// weir env: the variables of a site on a server.

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/server"
	"github.com/weir-run/weir/internal/weir"
)

func newEnv(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "env",
		Short: "See and set the variables of a site on a server",
		Long: `A variable reaches the functions whose policies name it, and a change does so within a second,
without another deploy. A secret is never shown again.`,
		Example: `  weir env list --site shop
  weir env set STRIPE_API_KEY --secret --site shop <key
  weir env import .env.production --context production`,
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	c.AddCommand(newEnvList(s), newEnvSet(s), newEnvUnset(s), newEnvImport(s), newEnvRotate(s))
	return c
}

// envFlags say whose variables are meant.
type envFlags struct {
	serverFlags
	siteFlag
	all     bool // of the organisation
	context string
}

func (f *envFlags) register(c *cobra.Command) {
	f.serverFlags.register(c)
	f.siteFlag.register(c)
	c.Flags().BoolVar(&f.all, "all-sites", false, "those of all sites together; a site's own come first")
}

// find gives the site, "" for all.
func (f *envFlags) find() (string, error) {
	if f.all {
		return "", nil
	}
	return f.siteFlag.find(".")
}

// contexts in which a variable can have a value.
const contexts = "all, dev, production, deploy-preview, branch-deploy, or branch:NAME"

// value gives a value in the context that the flags name.
func (f *envFlags) value(text string) wire.Value {
	if branch, ok := strings.CutPrefix(f.context, "branch:"); ok {
		return wire.Value{Context: "branch", Parameter: branch, Value: text}
	}
	return wire.Value{Context: f.context, Value: text}
}

func newEnvList(s *streams) *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use:     "list",
		Short:   "List variables; the values of secrets are not told",
		Example: `  weir env list --site shop`,
		Args:    cobra.NoArgs,
		RunE: asked(&f.serverFlags, s, func(ctx context.Context, c *client.Client, out io.Writer, _ []string) error {
			site, err := f.find()
			if err != nil {
				return err
			}
			all, err := c.Variables(ctx, site)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, all)
			}
			rows := [][]string{{"NAME", "CONTEXT", "SCOPES", "VALUE"}}
			for _, v := range all {
				for _, x := range v.Values {
					value := cell(x.Value)
					if v.Secret {
						value = "(secret)"
					}
					rows = append(rows, []string{cell(v.Key), cell(contextOf(x)), cell(strings.Join(v.Scopes, ",")), value})
				}
			}
			return table(out, rows)
		}),
	}
	f.register(c)
	return c
}

func contextOf(v wire.Value) string {
	if v.Parameter != "" {
		return "branch:" + v.Parameter
	}
	return v.Context
}

func newEnvSet(s *streams) *cobra.Command {
	var f envFlags
	var secret bool
	var scopes []string
	c := &cobra.Command{
		Use:   "set NAME [VALUE]",
		Short: "Set a variable",
		Long: `Sets the variable NAME. Without VALUE it is read from standard input, where neither the
history of a shell nor other users see it; a line's end at its end is left out. With
--context, the values of other contexts stay.`,
		Example: `  weir env set LOG_LEVEL debug --site shop --context deploy-preview
  weir env set STRIPE_API_KEY --secret --site shop <key`,
		Args: cobra.RangeArgs(1, 2),
		RunE: asked(&f.serverFlags, s, func(ctx context.Context, c *client.Client, _ io.Writer, args []string) error {
			site, err := f.find()
			if err != nil {
				return err
			}
			text, err := valueOf(s, args)
			if err != nil {
				return err
			}
			return setVariable(ctx, c, site, f.value(text), wire.Variable{Key: args[0], Secret: secret, Scopes: scopes})
		}),
	}
	f.register(c)
	c.Flags().StringVar(&f.context, "context", "all", "where it has this value: `CONTEXT`, one of "+contexts)
	c.Flags().BoolVar(&secret, "secret", false, "never tell the value again")
	c.Flags().StringSliceVar(&scopes, "scope", nil, "what it is for: `SCOPE`, one of builds, functions, runtime, post_processing (default: all); may be repeated")
	return c
}

// setVariable sets one value of a variable that is there and stays what it is, or else the whole of it.
func setVariable(ctx context.Context, c *client.Client, site string, value wire.Value, v wire.Variable) error {
	if value.Context != "all" {
		have, err := c.Variables(ctx, site)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(have, func(h wire.Variable) bool { return h.Key == v.Key })
		if at >= 0 && (have[at].Secret || !v.Secret) && v.Scopes == nil {
			return c.SetValue(ctx, site, v.Key, value)
		}
		if at >= 0 {
			return &weir.Error{Code: weir.Conflict, Message: "the variable " + v.Key + " is there already, with other scopes or not as a secret",
				Remedy: "unset it first"}
		}
	}
	v.Values = []wire.Value{value}
	return c.SetVariables(ctx, site, []wire.Variable{v})
}

// valueOf is the value among the arguments, or else what standard input holds.
func valueOf(s *streams, args []string) (string, error) {
	if len(args) == 2 {
		return args[1], nil
	}
	b, err := io.ReadAll(io.LimitReader(s.in, maxValue+1))
	if err != nil {
		return "", &weir.Error{Code: weir.Invalid, Message: "can't read the value from standard input", Err: err}
	}
	if len(b) > maxValue {
		return "", &weir.Error{Code: weir.TooLarge, Message: "the value is larger than 64 KB"}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if text == "" {
		return "", &weir.Error{Code: weir.Invalid, Message: "there is no value on standard input", Remedy: "give one there, or as VALUE; '' is the empty one"}
	}
	return text, nil
}

const maxValue = 64 << 10

func newEnvUnset(s *streams) *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use:   "unset NAME",
		Short: "Remove a variable, or its value in one context",
		Example: `  weir env unset LOG_LEVEL --site shop
  weir env unset LOG_LEVEL --site shop --context deploy-preview`,
		Args: cobra.ExactArgs(1),
		RunE: asked(&f.serverFlags, s, func(ctx context.Context, c *client.Client, _ io.Writer, args []string) error {
			site, err := f.find()
			if err != nil {
				return err
			}
			return c.DeleteVariable(ctx, site, args[0], f.context)
		}),
	}
	f.register(c)
	c.Flags().StringVar(&f.context, "context", "", "only its value in this `CONTEXT`: "+contexts)
	return c
}

func newEnvImport(s *streams) *cobra.Command {
	var f envFlags
	var secret bool
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Set all variables of a file of NAME=value lines",
		Long:  `Sets what FILE names, in the form of --env-file of weir dev; - is standard input.`,
		Example: `  weir env import .env --site shop
  weir env import .env.production --context production --secret`,
		Args: cobra.ExactArgs(1),
		RunE: asked(&f.serverFlags, s, func(ctx context.Context, c *client.Client, _ io.Writer, args []string) error {
			site, err := f.find()
			if err != nil {
				return err
			}
			vars, err := readVariables(s, args[0])
			if err != nil {
				return err
			}
			if len(vars) == 0 {
				return &weir.Error{Code: weir.Invalid, Message: args[0] + " names no variable"}
			}
			return importVariables(ctx, c, s, site, f.value(""), secret, vars)
		}),
	}
	f.register(c)
	c.Flags().StringVar(&f.context, "context", "all", "where they have these values: `CONTEXT`, one of "+contexts)
	c.Flags().BoolVar(&secret, "secret", false, "never tell the values again")
	return c
}

func readVariables(s *streams, file string) (map[string]string, error) {
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(s.in)
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "can't read " + file, Err: err}
	}
	return server.ParseVariables(file, string(b))
}

func importVariables(ctx context.Context, c *client.Client, s *streams, site string, at wire.Value, secret bool, vars map[string]string) error {
	var all []wire.Variable
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		value := at
		value.Value = vars[name]
		if at.Context != "all" {
			if err := setVariable(ctx, c, site, value, wire.Variable{Key: name, Secret: secret}); err != nil {
				return err
			}
			continue
		}
		all = append(all, wire.Variable{Key: name, Secret: secret, Values: []wire.Value{value}})
	}
	if len(all) > 0 {
		if err := c.SetVariables(ctx, site, all); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.err, "%d variables are set\n", len(vars))
	return nil
}

func newEnvRotate(s *streams) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Seal all variables anew, with the first key of the server's key file",
		Long: `Seals all variables of the server with the first key of its key file that were sealed with
another one. When every server has that key in front, the others can be removed afterwards.`,
		Example: `  weir env rotate`,
		Args:    cobra.NoArgs,
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, _ io.Writer, _ []string) error {
			out, err := c.RotateKeys(ctx)
			if err == nil && f.json {
				return printJSON(s, out)
			}
			if err == nil {
				fmt.Fprintf(s.err, "%d were sealed with another key\n", out.Sealed)
			}
			return err
		}),
	}
	f.register(c)
	return c
}
