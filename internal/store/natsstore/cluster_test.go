package natsstore

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/storetest"
	"github.com/weir-run/weir/internal/weir"
)

// TestCluster: three servers keep copies of all, and each of ours is connected to another one.
func TestCluster(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	here, there := connect(t, Options{URL: servers[0].ClientURL(), Replicas: 3}), connect(t, Options{URL: servers[1].ClientURL(), Replicas: 3})
	storetest.Values(t, here, there)
	readYourWrites(t, here, there)

	// A server that does not know of the copies takes none away.
	_, err := here.KV(t.Context(), "cluster")
	must(t, err)
	kv, err := connect(t, Options{URL: servers[1].ClientURL()}).KV(t.Context(), "cluster")
	must(t, err)
	rev, err := kv.Create(t.Context(), "a", []byte("1"))
	must(t, err)
	if info, err := here.js.Stream(t.Context(), bucketStream+"cluster"); err != nil || info.CachedInfo().Config.Replicas != 3 {
		t.Errorf("copies: %+v %v", info, err)
	}

	// One of them goes, and nothing is lost.
	servers[2].Shutdown()
	servers[2].WaitForShutdown()
	eventually(t, func() error { _, err := kv.Update(t.Context(), "a", []byte("2"), rev); return err })
	if e, err := kv.Get(t.Context(), "a"); err != nil || string(e.Value) != "2" {
		t.Errorf("%q %v", e.Value, err)
	}
}

// readYourWrites: whatever was written is read from then on, by any of two stores.
func readYourWrites(t *testing.T, here, there store.Store) {
	ctx := t.Context()
	kv, err := here.KV(ctx, "fresh")
	must(t, err)
	other, err := there.KV(ctx, "fresh")
	must(t, err)
	for i := range 100 {
		want := strconv.Itoa(i)
		key := "below." + strconv.Itoa(i%10)
		_, err := kv.Put(ctx, key, []byte(want))
		must(t, err)
		if e, err := other.Get(ctx, key); err != nil || string(e.Value) != want {
			t.Fatalf("read %q after %s was written: %v", e.Value, want, err)
		}
		all, err := other.List(ctx, "below")
		must(t, err)
		if e := all[i%len(all)]; len(all) != min(i+1, 10) || string(e.Value) != want {
			t.Fatalf("listed %q among %d after %s was written", e.Value, len(all), want)
		}
	}
	must(t, kv.Delete(ctx, "below.3", 0))
	if keys, err := other.Keys(ctx, "below"); err != nil || len(keys) != 9 {
		t.Errorf("listed %v after one was deleted: %v", keys, err)
	}
}

func cluster(t *testing.T) (servers []*server.Server) {
	t.Helper()
	const n = 3
	var routes []*url.URL
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		l.Close()
	}
	for i, port := range ports {
		servers = append(servers, foreign(t, server.Options{
			ServerName: "s" + strconv.Itoa(i), StoreDir: t.TempDir(), Routes: routes,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port},
		}))
	}
	eventually(t, func() error {
		for _, s := range servers {
			if !s.JetStreamIsCurrent() || s.JetStreamClusterPeers() == nil && s.JetStreamIsLeader() {
				return fmt.Errorf("the cluster has not come together")
			}
		}
		return nil
	})
	return servers
}

// TestOpenedAtOnce: servers that start together on an empty cluster all come to have what they need.
func TestOpenedAtOnce(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	var opening sync.WaitGroup
	for _, srv := range servers {
		opening.Go(func() {
			s, err := Open(t.Context(), Options{URL: srv.ClientURL(), Replicas: 3})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for i := range 5 {
				if _, err := s.KV(t.Context(), "bucket"+strconv.Itoa(i)); err != nil {
					t.Error(err)
				}
				if _, err := s.Stream(t.Context(), "stream"+strconv.Itoa(i), store.Bounds{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	opening.Wait()
}

// TestNoMajority: who opens a store that has too few servers left is told what is missing.
func TestNoMajority(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	connect(t, Options{URL: servers[0].ClientURL(), Replicas: 3}).Close()
	for _, s := range servers[1:] {
		s.Shutdown()
		s.WaitForShutdown()
	}
	var err error
	for until := time.Now().Add(30 * time.Second); err == nil && time.Now().Before(until); { // until the last one knows that it leads nobody
		var s *Store
		if s, err = Open(t.Context(), Options{URL: servers[0].ClientURL(), Replicas: 3, making: time.Second}); err == nil {
			s.Close()
		}
	}
	if weir.ErrorCode(err) != weir.Unavailable || !strings.Contains(err.Error(), "more than half") {
		t.Error(err)
	}
}
