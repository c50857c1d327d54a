package platform

// Several servers on one store: what one of them acknowledged, the others have.

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/test/platform/served"
)

// nats is a NATS server that somebody else runs.
type nats struct {
	t   *testing.T
	o   natsserver.Options
	srv *natsserver.Server
	url string
}

func newNATS(t *testing.T, o natsserver.Options) *nats {
	t.Helper()
	o.Host, o.Port, o.JetStream, o.NoSigs, o.StoreDir = "127.0.0.1", natsserver.RANDOM_PORT, true, true, t.TempDir()
	n := &nats{t: t, o: o}
	n.start()
	n.url = n.srv.ClientURL()
	n.o.Port = n.srv.Addr().(*net.TCPAddr).Port // the same when it comes back
	t.Cleanup(n.stop)
	return n
}

func (n *nats) start() {
	n.t.Helper()
	o := n.o
	srv, err := natsserver.NewServer(&o)
	if err != nil {
		n.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(time.Minute) {
		n.t.Fatal("NATS does not start")
	}
	n.srv = srv
}

func (n *nats) stop() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

// cluster makes servers on one empty store and starts them at once. flags are those of each, besides.
func cluster(t *testing.T, flags ...[]string) (*nats, []*server) {
	t.Helper()
	at := newNATS(t, natsserver.Options{})
	key := filepath.Join(t.TempDir(), "env.key")
	id, err := age.GenerateX25519Identity()
	if err == nil {
		err = os.WriteFile(key, []byte(id.String()), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var servers []*server
	var starting sync.WaitGroup
	for _, f := range flags {
		s := newServer(t, append(f, "--nats", at.url, "--env-key", key)...)
		servers = append(servers, s)
		starting.Go(func() {
			if err := s.launch(); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	var first []*server
	for _, s := range servers {
		if _, err := os.Stat(filepath.Join(s.dir, "owner.token")); err == nil {
			first = append(first, s)
		}
	}
	if len(first) != 1 || t.Failed() {
		t.Fatalf("%d of %d servers have a first owner's token", len(first), len(servers))
	}
	for _, s := range servers {
		s.connect(first[0])
	}
	return at, servers
}

// eventually asks until what is asked for is so, and gives how long that took.
func eventually(t *testing.T, what string, is func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !is() {
		if time.Since(begun) > time.Minute {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(10 * time.Millisecond) // polling, as clients do
	}
	return time.Since(begun)
}

// shows tells whether a host's path is answered with a text.
func (s *server) shows(host, path, want string) bool {
	status, body, err := s.Get(s.t.Context(), "GET", host, path)
	return err == nil && status == 200 && body == want
}

// TestServersOnOneStore: what is done on one of two servers is so on the other.
func TestServersOnOneStore(t *testing.T) {
	t.Parallel()
	at, servers := cluster(t, nil, nil)
	a, b := servers[0], servers[1]
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tokens, err := b.Tokens(ctx)
	if err != nil || len(tokens) != 1 {
		t.Fatalf("after both started at once: %d tokens, %v", len(tokens), err)
	}
	site, err := a.CreateSite(ctx, "shop")
	must(err)
	version := func(v string) served.Content {
		return served.Content{Files: map[string]served.Source{"index.html": served.Bytes([]byte("page " + v)), "_weir.toml": served.Bytes([]byte("[functions.v]\nenv = [\"COLOR\"]\n"))},
			Functions: map[string]served.Source{"v": served.Archive("v", `exports.handler = async () => ({ statusCode: 200, body: "`+v+` " + process.env.COLOR })`)}}
	}

	first, err := a.Deploy(ctx, site.ID, version("1"))
	must(err)
	t.Logf("the first deploy reaches the other server after %v", eventually(t, "the page", func() bool { return b.shows("shop.localhost", "/", "page 1") }))
	if !b.shows("shop.localhost", "/.netlify/functions/v", "1 undefined") {
		t.Error("the function is not served by the server that it was not deployed to")
	}
	must(a.SetVariables(ctx, site.ID, []wire.Variable{{Key: "COLOR", Values: []wire.Value{{Context: "all", Value: "red"}}}}))
	if vars, err := b.Variables(ctx, site.ID); err != nil || len(vars) != 1 {
		t.Errorf("a variable that was set is not there on the other server: %v %v", vars, err)
	}
	eventually(t, "the variable", func() bool { return b.shows("shop.localhost", "/.netlify/functions/v", "1 red") })

	second, err := b.Deploy(ctx, site.ID, version("2"))
	must(err)
	t.Logf("a publish reaches the other server after %v", eventually(t, "the new page", func() bool { return a.shows("shop.localhost", "/", "page 2") }))
	_, err = a.Rollback(ctx, site.ID)
	must(err)
	t.Logf("a rollback reaches the other server after %v", eventually(t, "the old page", func() bool { return b.shows("shop.localhost", "/", "page 1") }))
	if !b.shows(second.ID+"--shop.localhost", "/", "page 2") {
		t.Error("a deploy is not found by its own URL")
	}
	_, err = a.Lock(ctx, first.ID)
	must(err)
	if s, err := b.Site(ctx, site.ID); err != nil || s.PublishedDeploy == nil || !s.Locked {
		t.Errorf("the lock is not seen on the other server: %+v %v", s, err)
	}
	third, err := b.Deploy(ctx, site.ID, version("3"))
	must(err)
	if s, err := a.Site(ctx, site.ID); err != nil || s.PublishedDeploy.ID == third.ID {
		t.Errorf("a deploy on another server than that with the lock was published: %v", err)
	}

	made, err := a.CreateToken(ctx, wire.NewToken{Name: "ci", Role: "viewer"})
	must(err)
	other, err := client.New(client.Options{Server: b.API, Token: made.Secret})
	must(err)
	if _, err := other.Sites(ctx); err != nil {
		t.Errorf("a new token does not count on the other server: %v", err)
	}
	must(a.RevokeToken(ctx, made.ID))
	if _, err := other.Sites(ctx); err == nil {
		t.Error("a revoked token counts on the other server")
	}

	if !a.shows("shop.localhost", "/", "page 1") { // from now on it has a copy
		t.Error("the page is not served by the server that the rollback was made on")
	}
	withoutStore(t, at, servers, "page 1")
	_, err = a.Restore(ctx, site.ID, second.ID)
	must(err)
	t.Logf("after NATS is back, a publish reaches the other server after %v", eventually(t, "the page", func() bool { return b.shows("shop.localhost", "/", "page 2") }))
}

// TestPublishedIsShownByAll: whoever is answered that a deploy is published finds it on every server.
func TestPublishedIsShownByAll(t *testing.T) {
	t.Parallel()
	_, servers := cluster(t, nil, nil, nil)
	ctx := t.Context()
	site, err := servers[0].CreateSite(ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(n int) string {
		t.Helper()
		d, err := servers[n%len(servers)].Deploy(ctx, site.ID, served.Content{Files: map[string]served.Source{"index.html": served.Bytes(fmt.Append(nil, n))},
			Functions: map[string]served.Source{"f": served.Archive("f", fmt.Sprintf("exports.handler = async () => ({ statusCode: 200, body: '%d' })", n))}})
		if err != nil {
			t.Fatal(err)
		}
		return d.ID
	}
	shown := func(n int) {
		t.Helper()
		for i, s := range servers {
			if _, body, err := s.Get(ctx, "GET", "shop.localhost", "/"); body != fmt.Sprint(n) {
				t.Fatalf("%d is published, and the server %d shows %q %v", n, i, body, err)
			}
		}
	}
	var deploys []string
	for n := range 5 {
		deploys = append(deploys, publish(n))
		shown(n)
	}
	for n, id := range deploys[:3] {
		if _, err := servers[n].Restore(ctx, site.ID, id); err != nil {
			t.Fatal(err)
		}
		shown(n)
	}
	servers[2].kill() // it is waited for no longer than for a while
	if _, err := servers[0].Restore(ctx, site.ID, deploys[4]); err != nil {
		t.Fatal(err)
	}
	servers = servers[:2]
	shown(4)
}

// withoutStore: while NATS is away, servers go on with what they know, and others say what is missing.
func withoutStore(t *testing.T, at *nats, servers []*server, page string) {
	at.stop()
	for _, s := range servers {
		for range 3 {
			if !s.shows("shop.localhost", "/", page) || !s.shows("shop.localhost", "/.netlify/functions/v", "1 red") {
				t.Error("without the store, a site is not served any more")
			}
		}
	}
	var both sync.WaitGroup
	both.Go(func() { refused(t, servers[0]) })
	late := newServer(t, "--nats", at.url)
	both.Go(func() {
		if err := late.launch(); err == nil || !strings.Contains(late.log.String(), "the store at "+at.url+" can't be reached") {
			t.Errorf("a server that starts without the store says: %s", late.log.String())
		}
	})
	both.Wait()

	at.start()
	for _, s := range servers {
		eventually(t, "the API", func() bool { _, err := s.Client.Sites(t.Context()); return err == nil })
	}
}

// refused asks the API for what it can't give without its store.
func refused(t *testing.T, s *server) {
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.API+"/api/v1/sites", nil)
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+s.Token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !bytes.Contains(body, []byte("the store can't be reached")) {
		t.Errorf("without the store, the API answers %d %v %s", res.StatusCode, res.Header, body)
	}
}
