package server

// weir serve: sites that were deployed here, for everybody, behind the same walls as in weir dev.

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/jobs"
	"github.com/weir-run/weir/internal/logs"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/cache"
	"github.com/weir-run/weir/internal/store/natsstore"
	"github.com/weir-run/weir/internal/weir"
)

// ServeOptions say how to serve.
type ServeOptions struct {
	StateDir string // the embedded store, copies of files, artifacts, keys
	Listen   string // address and port for sites; port 0: any free one
	// APIListen is the address and port of the control API. One that is not a loopback address needs APICertificates,
	// or InsecureAPI.
	APIListen       string
	InsecureAPI     bool
	APIHosts        []string      // names by which the API may be called besides localhost and addresses
	Certificates    []Certificate // for sites; none: HTTP
	APICertificates []Certificate
	RedirectListen  string              // address and port at which HTTP is redirected to the sites' HTTPS; "": none
	Sites           string              // "https://*.example.com": where clients find sites; "": at Listen, below localhost
	NATS            natsstore.Options   // URL, Creds, Replicas, Sync; Dir is below StateDir
	Ceiling         *tomlpolicy.Ceiling // nil: policy.DefaultCeiling
	AnotherOwner    bool                // make an owner's token though there are some: they are lost
	ForgetVariables bool                // remove all variables: the key that opens them is lost
	EnvKeyFile      string              // "": one in StateDir, made if need be
	CacheSize       int64               // bytes of copies of files; 0: cache.DefaultSize
	Drain           time.Duration       // for how long a server that is to end answers as before, while it says that it ends
	Limits          deploys.Limits      // of what clients send and sites keep
	TrustedProxies  []netip.Prefix      // see gateway.Options, as for CountryHeader
	CountryHeader   string
	Verifier        *gateway.IdentityVerifier

	NodePath   string
	Resolve    []egress.Override
	UpstreamCA []byte
	Recorder   Recorder // takes denials, invocations and changes
	Logger     *slog.Logger
	Progress   io.Writer
	Zygotes    bool
	Blanks     int
	// Bounds of all functions together; 0: the defaults of internal/instance.
	MaxInstances, MaxQueue int
	MaxMemory              int64
}

// compressedSize bounds the compressed files that are kept in memory, in bytes.
const compressedSize = 64 << 20

// bodiesSize bounds the bodies of requests that are held in memory, in bytes, with all copies that are made of them.
const bodiesSize = 512 << 20

// Recorder takes all that is recorded on a server.
type Recorder interface {
	record.Recorder
	record.ChangeRecorder
}

// Server serves the sites of one store. It is made by NewServer and must be closed.
type Server struct {
	// OwnerToken is the file with an owner's token that was made, "" if none was.
	OwnerToken string

	*machine
	o          ServeOptions
	urls       urls
	store      store.Store
	cache      *cache.Cache
	recorder   record.Recorder
	journal    *access.Journal
	access     *access.Service
	variables  *environ.Service
	deploys    *deploys.Service
	jobs       *jobs.Service
	logs       *logs.Service
	hosts      *hosts
	proxy      http.RoundTripper   // for rules of sites that lead elsewhere
	compressed *gateway.Compressed // files of all sites
	bodies     *gateway.Room       // of requests to all sites
	tunnels    *gateway.Tunnels    // likewise, for WebSockets to other servers
	requests   *gateway.Room       // to all sites, in flight
	mounts     *mounts
	published  *published
	fellows    *fellows
	sites      *door
	api        *door
	redirect   *door // nil: none
	control    *api.API
	leaving    atomic.Bool // it is to end, and says so

	ctx     context.Context // of what goes on besides requests
	stop    context.CancelFunc
	running sync.WaitGroup
}

// NewServer opens the store, finds out that the walls can be raised, and listens. It starts no function. Errors are
// *weir.Error.
func NewServer(ctx context.Context, o ServeOptions) (_ *Server, err error) {
	s := &Server{o: o}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for _, step := range []func(context.Context) error{s.openMachine, s.openStore, s.listen, s.openParts} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, s.begin(ctx)
}

func (s *Server) openMachine(context.Context) (err error) {
	// A rule leads to a private address only if the ceiling, which bounds every policy, names the host.
	out := egress.Options{Resolve: s.o.Resolve, UpstreamCAs: s.o.UpstreamCA, AllowPrivate: true}
	if s.machine, err = newMachine(machineOptions{StateDir: s.o.StateDir, NodePath: s.o.NodePath, Egress: out, Logger: s.o.Logger, Progress: s.o.Progress,
		Zygotes: s.o.Zygotes, Blanks: s.o.Blanks, MaxInstances: s.o.MaxInstances, MaxQueue: s.o.MaxQueue, MaxMemory: s.o.MaxMemory}); err != nil {
		return err
	}
	s.proxy, s.compressed, s.bodies = s.egress.Transport(false), gateway.NewCompressed(compressedSize), gateway.NewBodies(bodiesSize)
	s.tunnels = gateway.NewTunnels(int(maxConnections(16)))
	return nil
}

func (s *Server) openStore(ctx context.Context) (err error) {
	o := s.o.NATS
	o.Logger = s.o.Logger
	if o.URL == "" {
		o.Dir = filepath.Join(s.o.StateDir, "store")
	}
	st, err := natsstore.Open(ctx, o)
	if err != nil {
		return err
	}
	s.store = st
	s.cache, err = cache.New(cache.Options{Dir: filepath.Join(s.o.StateDir, "files"), Blobs: s.store.Blobs(), Size: s.o.CacheSize, Logger: s.o.Logger})
	return err
}

// openParts makes what works on the store.
func (s *Server) openParts(ctx context.Context) (err error) {
	if s.journal, err = access.NewJournal(ctx, s.store, s.o.Recorder); err != nil {
		return err
	}
	if s.access, err = access.New(ctx, s.store, s.journal, time.Now); err != nil {
		return err
	}
	if err := s.makeOwner(ctx); err != nil {
		return err
	}
	if s.variables, err = environ.Open(ctx, environ.Options{Store: s.store, Changes: s.journal, StateDir: s.o.StateDir, KeyFile: s.o.EnvKeyFile, Forget: s.o.ForgetVariables}); err != nil {
		return err
	}
	if s.logs, err = logs.Open(ctx, logs.Options{Store: s.store, Logger: s.o.Logger}); err != nil {
		return err
	}
	s.recorder = record.Multi(s.o.Recorder, s.logs)
	s.deploys, err = deploys.New(ctx, deploys.Options{Store: s.store, Stage: &stage{stateDir: s.o.StateDir, ceiling: s.o.Ceiling, keys: s.signingKeys}, Journal: s.journal, Domain: s.urls.domain,
		Reserved: s.o.APIHosts, CheckPolicy: checkPolicy, Removed: s.variables.RemoveDeploy, Shown: s.shown, Limits: s.o.Limits, Logger: s.o.Logger})
	if err != nil {
		return err
	}
	if s.jobs, err = jobs.Open(ctx, jobs.Options{Store: s.store, Runner: runner{s}, Logger: s.o.Logger}); err != nil {
		return err
	}
	s.mounts = newMounts(s.ctx, s.load, s.o.Logger)
	var others store.KV
	if s.o.NATS.URL != "" {
		if others, err = s.store.KV(ctx, "servers"); err != nil {
			return err
		}
	}
	s.fellows = newFellows(others, s.o.Logger)
	s.hosts = newHosts(s.urls.domain, s.siteChanged, s.o.Logger)
	s.published = &published{ctx: s.ctx, find: s.deploys.Deploy, site: s.hosts.site, mounts: s.mounts, tell: s.fellows.show, logger: s.o.Logger, shown: map[string]*shown{}}
	s.mounts.shown = func(d weir.Deploy) bool {
		of, _ := s.hosts.site(d.Site)
		return of.Published == d.ID
	}
	return s.openAPI()
}

// makeOwner makes an owner's token if there is none, or if all are lost.
func (s *Server) makeOwner(ctx context.Context) error {
	file := filepath.Join(s.o.StateDir, access.OwnerFile)
	made, err := s.access.First(ctx, file)
	if err == nil && !made && s.o.AnotherOwner {
		err, made = s.access.Another(ctx, file), true
	}
	if err == nil && made {
		s.OwnerToken = file
	}
	return err
}

// begin has the server do what goes on besides requests, and waits until it knows its sites.
func (s *Server) begin(ctx context.Context) error {
	kv, err := s.store.KV(ctx, "sites")
	if err != nil {
		return err
	}
	known := make(chan struct{})
	s.running.Go(func() { s.hosts.watch(s.ctx, kv, sync.OnceFunc(func() { s.fellows.begin(); close(known) })) })
	s.running.Go(func() { s.watchVariables(s.ctx) })
	s.running.Go(func() { s.deploys.Run(s.ctx) })
	s.running.Go(func() { s.jobs.Work(s.ctx) })
	s.running.Go(func() { s.mounts.sweep(s.ctx) })
	select {
	case <-known:
		s.running.Go(func() { s.fellows.greet(s.ctx) })
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shown waits until every server shows what was published of a site, or something else was.
func (s *Server) shown(ctx context.Context, site, deploy string) {
	var seen bool // by this server
	s.fellows.shown(ctx, site, deploy, func() bool {
		now, ok := s.hosts.site(site)
		published := ok && now.Published == deploy
		seen = seen || published
		return published || !seen
	})
}

// siteChanged takes what has changed of a site.
func (s *Server) siteChanged(before, after weir.Site) {
	s.published.changed(before, after)
	if after.ID == "" {
		s.setSchedules(weir.Site{ID: before.ID, Name: before.Name})
		s.mounts.drop(before.ID)
		return
	}
	s.setSchedules(after)
	if before.ID != "" && s.urls.site(before) != s.urls.site(after) {
		s.mounts.renew(after.ID) // functions are told the URL
	}
}

// watchVariables has deploys run with the variables that their sites have now.
func (s *Server) watchVariables(ctx context.Context) {
	again := false
	for {
		err := s.variables.Watch(ctx, func() {
			if again { // what changed in between nobody has told
				s.renewAll()
			}
		}, func(site string) error {
			if site == "" {
				s.renewAll()
			} else {
				s.mounts.renew(site)
			}
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		again = true
		s.o.Logger.Warn("variables can't be watched, functions go on with those that they have", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
	}
}

func (s *Server) renewAll() {
	for _, site := range s.hosts.all() {
		s.mounts.renew(site.ID)
	}
}

// Addr and APIAddr are the addresses that the server listens on for sites and for its API, as URLs.
func (s *Server) Addr() string    { return s.sites.scheme() + "://" + s.sites.addr().String() }
func (s *Server) APIAddr() string { return s.api.scheme() + "://" + s.api.addr().String() }

// Serve answers requests until ctx ends, and for ServeOptions.Drain after that: whoever shares out requests among
// servers learns meanwhile that this one ends. Then it gives those in flight a while to finish.
func (s *Server) Serve(ctx context.Context) error {
	doors := []*door{s.sites, s.api}
	if s.redirect != nil {
		doors = append(doors, s.redirect)
	}
	failed := make(chan error, len(doors))
	for _, d := range doors {
		s.running.Go(func() {
			if err := d.serve(); err != nil {
				failed <- err
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
		s.leaving.Store(true)
		if s.o.Drain > 0 {
			s.o.Logger.Info("the server ends: its health says so, and all else is answered as before for a while", "for", s.o.Drain)
		}
		select {
		case <-time.After(s.o.Drain):
		case err = <-failed:
		}
	case err = <-failed:
	}
	grace, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	var all sync.WaitGroup
	for _, d := range doors {
		all.Go(func() { d.close(grace) })
	}
	all.Wait()
	return err
}

// Close ends every function and frees what the server held.
func (s *Server) Close() {
	s.stop()
	for _, d := range []*door{s.sites, s.api, s.redirect} {
		if d != nil {
			d.listener.Close()
		}
	}
	s.running.Wait()
	if s.published != nil {
		s.published.loading.Wait()
		late := time.AfterFunc(closeTime, func() { s.launcher.Close() })
		s.mounts.end()
		late.Stop()
	}
	if s.jobs != nil {
		s.jobs.Close()
	}
	if s.machine != nil {
		s.machine.close()
	}
	if s.logs != nil {
		s.logs.Close()
	}
	if s.store != nil {
		s.store.Close()
	}
}

// listen opens the doors.
func (s *Server) listen(context.Context) (err error) {
	o := s.o
	s.requests = filesFor(4)
	if s.sites, err = open("sites", o.Listen, "--listen", boundTo(4, o.TrustedProxies), o.Certificates, s.lastCall(s.front), o.Logger); err != nil {
		return err
	}
	if o.Sites == "" {
		o.Sites = fmt.Sprintf("%s://*.localhost:%d", s.sites.scheme(), s.sites.addr().Port)
	}
	if s.urls, err = parseURLs(o.Sites); err != nil {
		return err
	}
	if s.api, err = open("the API", o.APIListen, "--api-listen", boundTo(16, o.TrustedProxies), o.APICertificates, s.lastCall(s.controlled), o.Logger); err != nil {
		return err
	}
	if !s.api.addr().IP.IsLoopback() && len(o.APICertificates) == 0 && !o.InsecureAPI {
		return &weir.Error{Code: weir.Invalid, Message: "the API would listen on " + o.APIListen + " without TLS, where tokens can be read on their way",
			Remedy: "name --api-cert and --api-key, listen on 127.0.0.1, or say --api-insecure if something in front does TLS"}
	}
	if o.RedirectListen == "" {
		return nil
	}
	if s.sites.scheme() != "https" {
		return &weir.Error{Code: weir.Invalid, Message: "there is no HTTPS to redirect to", Remedy: "name --cert and --key, or leave --redirect-listen out"}
	}
	s.redirect, err = open("redirects to HTTPS", o.RedirectListen, "--redirect-listen", boundTo(16, o.TrustedProxies), nil, http.HandlerFunc(s.toHTTPS), o.Logger)
	return err
}

// toHTTPS sends a client of one of the sites to the same URL by HTTPS.
func (s *Server) toHTTPS(w http.ResponseWriter, r *http.Request) {
	if _, _, err := s.hosts.find(r.Host); err != nil {
		gateway.Fail(w, &weir.Error{Code: weir.NotFound, Message: "there is no site at this host name", Remedy: "check the URL"})
		return
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	// Of a target that is no path, as in "x:@evil.example/", nothing may follow the host.
	to := url.URL{Path: "/" + strings.TrimPrefix(r.URL.Path, "/"), RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	http.Redirect(w, r, s.urls.of(strings.ToLower(host))+to.RequestURI(), http.StatusPermanentRedirect)
}
