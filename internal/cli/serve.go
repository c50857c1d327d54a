package cli

// weir serve: the server for sites that are deployed to it.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/server"
	"github.com/weir-run/weir/internal/weir"
)

// serveFlags are those of serve alone.
type serveFlags struct {
	stateDir, listen, apiListen, redirect, sites string
	certs, keys, apiCerts, apiKeys               []string
	insecure, sync, anotherOwner, forget         bool
	nats, creds, ceiling, envKey, country        string
	replicas, siteDeploys                        int
	cache, siteSize                              size
	proxies, apiHosts                            []string
	drain                                        time.Duration
}

func newServe(s *streams) *cobra.Command {
	var site siteFlags
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve sites that are deployed here, their functions behind their walls",
		Long: `Serves every site that was deployed to this server, each at a host name of its own, and the
API by which Netlify's clients and weir deploy bring them. What it must keep lies in the state
directory, or in a NATS cluster that several servers share. On the first start it writes the
first owner's token into the file owner.token there. When it serves, it prints two lines on
stdout: ready URL, and api URL.`,
		Example: `  weir serve
  weir serve --listen 0.0.0.0:443 --cert site.pem --key site.key --sites https://*.example.com
  weir serve --nats nats://a:4222,nats://b:4222 --nats-replicas 3 --env-key env.key
  weir serve --ceiling ceiling.toml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := site.bounds.check(); err != nil {
				return err
			}
			return runServe(c.Context(), s, &site, &f)
		},
	}
	f.register(c)
	site.registerServer(c)
	return c
}

func (f *serveFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.stateDir, "state-dir", "", "`DIR` of all that is kept (default: /var/lib/weir for root, else below the user's state directory)")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`ADDR:PORT` for sites")
	fl.StringVar(&f.apiListen, "api-listen", "127.0.0.1:8081", "`ADDR:PORT` for the API")
	fl.StringArrayVar(&f.apiHosts, "api-host", nil, "`NAME` by which the API may be called, besides localhost and addresses; may be repeated")
	fl.BoolVar(&f.insecure, "api-insecure", false, "let the API listen without TLS on an address that others can reach")
	fl.StringArrayVar(&f.certs, "cert", nil, "PEM `FILE` with a certificate for sites; may be repeated, each with its --key")
	fl.StringArrayVar(&f.keys, "key", nil, "PEM `FILE` with its key")
	fl.StringArrayVar(&f.apiCerts, "api-cert", nil, "PEM `FILE` with a certificate for the API; may be repeated, each with its --api-key")
	fl.StringArrayVar(&f.apiKeys, "api-key", nil, "PEM `FILE` with its key")
	fl.StringVar(&f.redirect, "redirect-listen", "", "`ADDR:PORT` at which HTTP is redirected to the sites' HTTPS")
	fl.StringVar(&f.sites, "sites", "", "`URL` at which clients find sites, with * for a site's name: https://*.example.com (default: at --listen, below localhost)")
	fl.StringVar(&f.nats, "nats", "", "`URL` of a NATS cluster with JetStream that keeps everything; several with commas")
	fl.StringVar(&f.creds, "nats-creds", "", "`FILE` with the credentials for it")
	fl.IntVar(&f.replicas, "nats-replicas", 1, "`N` copies that it keeps")
	fl.BoolVar(&f.sync, "sync", false, "write everything to the disk before it is acknowledged, so that a power cut loses nothing")
	fl.StringVar(&f.ceiling, "ceiling", "", "`FILE` with the most that any policy may allow")
	fl.BoolVar(&f.anotherOwner, "new-owner-token", false, "write one more owner's token into the state directory: all others are lost")
	fl.BoolVar(&f.forget, "forget-variables", false, "remove all variables of all sites: the key that seals them is lost")
	fl.StringVar(&f.envKey, "env-key", "", "`FILE` with the age key that seals variables (default: env.key in the state directory, made if need be)")
	fl.Var(&f.cache, "cache-size", "`SIZE` of copies of deployed files on this machine (default: 4GB)")
	fl.Lookup("cache-size").DefValue = ""
	fl.Var(&f.siteSize, "max-site-size", "`SIZE` of all that a site may keep in the store, each content once (default: 16GB)")
	fl.Lookup("max-site-size").DefValue = ""
	fl.IntVar(&f.siteDeploys, "max-site-deploys", 1000, "`N` deploys that a site may have, drafts and those that failed included")
	fl.StringVar(&f.country, "country-header", "", "`NAME` of the header in which these proxies say where a client is, as two letters")
	fl.DurationVar(&f.drain, "drain", 0, "`TIME` for which a server that is to end goes on answering, while its health says that it ends")
	fl.StringArrayVar(&f.proxies, "trusted-proxy", nil, "`ADDR/BITS` of proxies in front, whose X-Forwarded-For is believed; may be repeated")
}

func runServe(ctx context.Context, s *streams, site *siteFlags, f *serveFlags) error {
	tune()
	go boundMemory(ctx)
	logger := newLogger(s)
	o, err := f.options(logger)
	if err != nil {
		return err
	}
	if err := site.serverOptions(s, &o); err != nil {
		return err
	}
	if site.records.file == "" {
		site.records.file = filepath.Join(o.StateDir, "records.jsonl")
	}
	recorder, closeRecords, err := site.records.open(s, logger, o.StateDir)
	if err != nil {
		return err
	}
	defer closeRecords()
	o.Recorder = recorder.(server.Recorder) // record.Multi takes changes, too
	srv, err := server.NewServer(ctx, o)
	if err != nil {
		return err
	}
	defer srv.Close()
	if srv.OwnerToken != "" {
		fmt.Fprintf(s.err, "an owner's token is in %s\n", srv.OwnerToken)
	}
	ready := s.out
	if site.records.toStdout() {
		ready = s.err
	}
	fmt.Fprintf(ready, "ready %s\napi %s\n", srv.Addr(), srv.APIAddr())
	return srv.Serve(ctx)
}

// options gives what these flags say.
func (f *serveFlags) options(logger *slog.Logger) (o server.ServeOptions, err error) {
	o = server.ServeOptions{StateDir: f.stateDir, Listen: f.listen, APIListen: f.apiListen, APIHosts: f.apiHosts, InsecureAPI: f.insecure, RedirectListen: f.redirect, Sites: f.sites,
		EnvKeyFile: f.envKey, CacheSize: int64(f.cache), CountryHeader: f.country, Drain: f.drain, AnotherOwner: f.anotherOwner, ForgetVariables: f.forget, Logger: logger}
	o.Limits.Site, o.Limits.Deploys = int64(f.siteSize), f.siteDeploys
	o.NATS.URL, o.NATS.Creds, o.NATS.Replicas, o.NATS.Sync = f.nats, f.creds, f.replicas, f.sync
	if o.StateDir, err = serverStateDir(f.stateDir); err != nil {
		return o, err
	}
	if f.drain < 0 {
		return o, &usageError{fmt.Errorf("--drain %v is no time", f.drain)}
	}
	if f.nats == "" && (f.creds != "" || f.replicas != 1) || f.nats != "" && f.sync {
		return o, &usageError{errors.New("--nats-creds and --nats-replicas are about --nats; --sync is about the store in the state directory")}
	}
	if o.Certificates, err = pairs(f.certs, f.keys, "--cert", "--key"); err != nil {
		return o, err
	}
	if o.APICertificates, err = pairs(f.apiCerts, f.apiKeys, "--api-cert", "--api-key"); err != nil {
		return o, err
	}
	for _, p := range f.proxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return o, &usageError{fmt.Errorf("--trusted-proxy %q is no network; write it as in 10.0.0.0/8", p)}
		}
		o.TrustedProxies = append(o.TrustedProxies, prefix)
	}
	if f.ceiling != "" {
		if o.Ceiling, err = readCeiling(f.ceiling); err != nil {
			return o, err
		}
	}
	return o, nil
}

// pairs puts certificates and keys together.
func pairs(certs, keys []string, certFlag, keyFlag string) (out []server.Certificate, err error) {
	if len(certs) != len(keys) {
		return nil, &usageError{fmt.Errorf("every %s needs its %s", certFlag, keyFlag)}
	}
	for i := range certs {
		out = append(out, server.Certificate{Cert: certs[i], Key: keys[i]})
	}
	return out, nil
}

// serverStateDir is where a server keeps everything. Unlike that of weir dev, it is no cache.
func serverStateDir(named string) (string, error) {
	dir := named
	switch {
	case dir != "":
	case os.Getuid() == 0:
		dir = "/var/lib/weir"
	case os.Getenv("XDG_STATE_HOME") != "":
		dir = filepath.Join(os.Getenv("XDG_STATE_HOME"), "weir")
	default:
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &weir.Error{Code: weir.Invalid, Message: "no place to keep anything", Err: err, Remedy: "name one with --state-dir"}
		}
		dir = filepath.Join(home, ".local", "state", "weir")
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755) // sandboxes of a root user run with another uid and read artifacts there
	}
	if err != nil {
		return "", &weir.Error{Code: weir.Invalid, Message: "can't keep anything in " + dir, Err: err, Remedy: "name a folder that this user may write to with --state-dir"}
	}
	return dir, nil
}
