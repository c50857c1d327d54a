package natsstore

// The server in this process. A stream of NATS whose disk was full once takes nothing any more, and what a server may
// take is settled when it starts. So when there is room again, it is started anew; whoever works with the store sees a
// connection that was lost for a moment.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/weir-run/weir/internal/held"
	"github.com/weir-run/weir/internal/weir"
)

const (
	startTime = time.Minute     // for the embedded server to read what it holds
	lookTime  = time.Second     // how often is looked whether there is room again
	pauseTime = 5 * time.Second // before it is started anew again; twice as long each time
	maxPause  = time.Minute
	leastRoom = 16 << 20 // bytes that must be free for that
)

// embedded is the server in this process. It listens nowhere.
type embedded struct {
	o    Options
	lock *os.File // on Options.Dir

	mu    sync.Mutex
	srv   *server.Server  // nil: it could not be started anew
	works context.Context // ends when a write has failed: nobody hears of what comes then
}

// embed starts the server.
func embed(o Options) (_ *embedded, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the store can't be kept in " + o.Dir, Err: err, Remedy: "name a folder that this user may write to"}
	}
	e := &embedded{o: o}
	e.lock, err = held.Take(filepath.Join(o.Dir, "lock"))
	switch {
	case errors.Is(err, held.ErrElsewhere):
		return nil, &weir.Error{Code: weir.Invalid, Message: "another process uses the store in " + o.Dir, Remedy: "stop it, or name another state directory"}
	case err != nil:
		return nil, &weir.Error{Code: weir.Invalid, Message: "the store in " + o.Dir + " can't be locked", Err: err}
	}
	if err := e.start(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *embedded) start() error {
	srv, err := server.NewServer(&server.Options{
		ServerName: "weir", DontListen: true, NoSigs: true, JetStream: true, StoreDir: e.o.Dir,
		SyncAlways: e.o.Sync, DisableJetStreamBanner: true, MaxPayload: 1 << 20, JetStreamMaxStore: e.o.most,
	})
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "the store in " + e.o.Dir + " can't be opened", Err: err}
	}
	works, failed := context.WithCancel(context.Background())
	srv.SetLoggerV2(logger{e.o.Logger, failed}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(startTime) || !srv.JetStreamEnabled() {
		end(srv)
		return &weir.Error{Code: weir.Invalid, Message: "the store in " + e.o.Dir + " can't be read", Remedy: "see the log; is the disk full?"}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.srv, e.works = srv, works
	return nil
}

func end(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

// current gives the server as it is now, nil for none.
func (e *embedded) current() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.srv
}

// failed tells whether a write has failed.
func (e *embedded) failed() bool { return e.working().Err() != nil }

func (e *embedded) working() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.works
}

// InProcessConn is nats.InProcessConnProvider's.
func (e *embedded) InProcessConn() (net.Conn, error) {
	if srv := e.current(); srv != nil {
		return srv.InProcessConn()
	}
	return nil, errors.New("the store is being started anew")
}

// room gives what the server holds and what it may hold, in bytes.
func (e *embedded) room() (has, most uint64, err error) {
	srv := e.current()
	if srv == nil {
		return 0, 0, errors.New("it is being started anew")
	}
	info, err := srv.Jsz(nil)
	if err != nil {
		return 0, 0, err
	}
	return info.Store, uint64(info.Config.MaxStore), nil
}

// full tells whether contents are refused for want of room.
func full(has, most uint64) bool { return has > most/10*9 }

// watch starts the server anew whenever that makes room, until closed is.
func (e *embedded) watch(closed <-chan struct{}) {
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	var last time.Time
	pause := pauseTime
	for {
		select {
		case <-closed:
			return
		case <-tick.C:
		}
		since := time.Since(last)
		if since < pause || !e.better() {
			continue
		}
		if pause = min(2*pause, maxPause); since > 2*maxPause { // it went well for long
			pause = pauseTime
		}
		e.o.Logger.Warn("store: there is room again, so it is started anew")
		if err := e.restart(); err != nil {
			e.o.Logger.Error("store: it can't be started anew; trying again", "error", err)
		}
		last = time.Now()
	}
}

// better tells whether the server takes less than it would if it were started anew.
func (e *embedded) better() bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(e.o.Dir, &disk); err != nil {
		return false
	}
	free := disk.Bavail * uint64(disk.Bsize)
	if free < leastRoom {
		return false
	}
	has, most, err := e.room()
	if err != nil { // it is not there, or no longer does what it should
		return true
	}
	if e.o.most != 0 {
		return e.failed()
	}
	then := (has + free) / 4 * 3 // what it may hold then, as nats-server reckons
	return !full(has, then) && (e.failed() || full(has, most))
}

func (e *embedded) restart() error {
	e.stop()
	return e.start()
}

func (e *embedded) stop() {
	e.mu.Lock()
	srv := e.srv
	e.srv = nil
	e.mu.Unlock()
	if srv != nil {
		end(srv)
	}
}

func (e *embedded) close() {
	e.stop()
	e.lock.Close()
}

// criticalWrite is what nats-server says of a write after which a stream takes nothing more.
const criticalWrite = "Critical write error"

// outOfRoom tells whether the server says that a disk has no room.
func outOfRoom(description string) bool {
	return strings.Contains(description, syscall.ENOSPC.Error()) || strings.Contains(description, syscall.EDQUOT.Error())
}

func noRoom(has, most uint64) error {
	return storeFull(fmt.Errorf("it has %d MB, and may have %d", has>>20, most>>20))
}
