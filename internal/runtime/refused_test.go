package runtime

// What the supervisor says about refusals, beside the requests it sends.

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRefusedReachesTheError: a connection that is reset after Refused says why, another does not.
func TestRefusedReachesTheError(t *testing.T) {
	p := must(t, `const net = require('net');
exports.handler = (e) => new Promise((resolve) => net.connect(e.port, '127.0.0.1').on('error', (e) => resolve(e.code + ': ' + e.message)).resume());`)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var tell atomic.Bool
	tell.Store(true)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if tell.Load() {
				p.Refused(Refusal{Port: uint16(c.RemoteAddr().(*net.TCPAddr).Port), Message: "tcp://db.test:5432 is not allowed: \u00e9", Tried: "db.test:5432"})
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	event := fmt.Sprintf(`{"port":%d}`, l.Addr().(*net.TCPAddr).Port)
	for range 20 {
		if r, err := p.invoke(t, event); err != nil || string(r.Payload) != `"EWEIR: tcp://db.test:5432 is not allowed: é"` {
			t.Fatalf("%s %v", r.Payload, err)
		}
	}
	tell.Store(false)
	if r, err := p.invoke(t, event); err != nil || !strings.HasPrefix(string(r.Payload), `"ECONNRESET: `) {
		t.Errorf("%s %v", r.Payload, err)
	}
}

// TestRefusedHoldsNobodyUp: a process that reads nothing misses words, and answers as if they had come.
func TestRefusedHoldsNobodyUp(t *testing.T) {
	p := must(t, `exports.handler = async (e) => { for (const end = Date.now() + e.busy; Date.now() < end;); return e.busy; };`)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for start := time.Now(); time.Since(start) < 300*time.Millisecond; {
				began := time.Now()
				p.Refused(Refusal{Port: 1, Message: strings.Repeat("m", 4000), Tried: "t"})
				if d := time.Since(began); d > 5*time.Second {
					t.Errorf("it took %s", d)
				}
			}
		})
	}
	for _, busy := range []int{500, 0, 0} {
		if r, err := p.invoke(t, fmt.Sprintf(`{"busy":%d}`, busy)); err != nil || string(r.Payload) != fmt.Sprint(busy) {
			t.Errorf("%s %v", r.Payload, err)
		}
	}
	wg.Wait()
	if !p.Clean() {
		t.Error("the channel is spoilt")
	}
}
