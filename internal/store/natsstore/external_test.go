package natsstore

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/storetest"
	"github.com/weir-run/weir/internal/weir"
)

// foreign starts a server as somebody else would have set it up, and gives its URL.
func foreign(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.JetStream, o.NoSigs = "127.0.0.1", true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&o)
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	return s
}

func connect(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func TestElsewhere(t *testing.T) {
	at := foreign(t, server.Options{StoreDir: t.TempDir()}).ClientURL()
	storetest.Run(t, connect(t, Options{URL: at}), connect(t, Options{URL: at}))
}

// eventually tries again until it works.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// TestServerThatGoesAndComesBack: those who watch and follow lose nothing.
func TestServerThatGoesAndComesBack(t *testing.T) {
	o := server.Options{StoreDir: t.TempDir()}
	srv := foreign(t, o)
	o.Port = srv.Addr().(*net.TCPAddr).Port
	here, there := connect(t, Options{URL: srv.ClientURL()}), connect(t, Options{URL: srv.ClientURL()})
	kv, err := here.KV(t.Context(), "sites")
	must(t, err)
	log, err := here.Stream(t.Context(), "log", store.Bounds{})
	must(t, err)
	_, err = kv.Put(t.Context(), "gone", []byte("0"))
	must(t, err)

	changes, messages := make(chan store.Change, 100), make(chan store.Message, 100)
	otherKV, err := there.KV(t.Context(), "sites")
	must(t, err)
	otherLog, err := there.Stream(t.Context(), "log", store.Bounds{})
	must(t, err)
	go otherKV.Watch(t.Context(), "", func(c store.Change) error { changes <- c; return nil })
	go otherLog.Follow(t.Context(), "", 1, func(m store.Message) error { messages <- m; return nil })
	for c := range changes {
		if c.Current {
			break
		}
	}
	_, err = log.Append(t.Context(), "a", "", []byte("before"))
	must(t, err)
	<-messages

	srv.Shutdown()
	srv.WaitForShutdown()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := kv.Get(short, "gone"); weir.ErrorCode(err) != weir.Unavailable {
		t.Errorf("without a server: %v", err)
	}
	foreign(t, o)
	eventually(t, func() error { _, err := kv.Put(t.Context(), "new", []byte("1")); return err })
	eventually(t, func() error { return kv.Delete(t.Context(), "gone", 0) })
	eventually(t, func() error { _, err := log.Append(t.Context(), "a", "after", []byte("after")); return err })
	if m := <-messages; string(m.Data) != "after" {
		t.Errorf("%+v", m)
	}
	for seen := map[string]bool{}; !seen["new"] || !seen["gone deleted"]; {
		c := <-changes
		if c.Deleted {
			c.Key += " deleted"
		}
		seen[c.Key] = true
	}
}

// TestAbsenceThatIsTooLong: who watched hears that it may have missed something.
func TestAbsenceThatIsTooLong(t *testing.T) {
	o := server.Options{StoreDir: t.TempDir()}
	srv := foreign(t, o)
	o.Port = srv.Addr().(*net.TCPAddr).Port
	s := connect(t, Options{URL: srv.ClientURL(), remembered: time.Nanosecond})
	kv, err := s.KV(t.Context(), "sites")
	must(t, err)
	current, result := make(chan bool, 1), make(chan error, 1)
	go func() {
		result <- kv.Watch(t.Context(), "", func(store.Change) error { current <- true; return nil })
	}()
	<-current
	srv.Shutdown()
	srv.WaitForShutdown()
	foreign(t, o)
	if err := <-result; weir.ErrorCode(err) != weir.Unavailable {
		t.Error(err)
	}
}

// TestCannotBeUsed: what is wrong with a server elsewhere is said, and no password.
func TestCannotBeUsed(t *testing.T) {
	t.Parallel()
	plain := foreign(t, server.Options{StoreDir: t.TempDir()}).ClientURL()
	locked := strings.Replace(foreign(t, server.Options{StoreDir: t.TempDir(), Username: "weir", Password: "right"}).ClientURL(), "nats://", "nats://weir:wrong@", 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l.Close()
	for name, c := range map[string]struct {
		o    Options
		code weir.Code
		says string
	}{
		"nobody there":      {Options{URL: "nats://weir:wrong@" + l.Addr().String() + ",nats://localhost:1"}, weir.Unavailable, "the store at nats://" + l.Addr().String() + ", nats://localhost:1 can't be reached"},
		"a wrong password":  {Options{URL: locked}, weir.Invalid, "does not accept the credentials"},
		"no credentials":    {Options{URL: plain, Creds: "/nonexistent"}, weir.Invalid, "/nonexistent"},
		"a cluster of one":  {Options{URL: plain, Replicas: 3}, weir.Invalid, "too few servers"},
		"without JetStream": {Options{URL: without(t)}, weir.Unavailable, "has no JetStream"},
		"no URL":            {Options{URL: "nats://[::1"}, weir.Unavailable, "can't be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(t.Context(), c.o)
			if err == nil || weir.ErrorCode(err) != c.code || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("%v: %v", weir.ErrorCode(err), err)
			}
		})
	}
}

// without starts a server that keeps nothing, and gives its URL.
func without(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true})
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	return s.ClientURL()
}
