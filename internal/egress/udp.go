package egress

// This file exists because datagrams have no connection: who sends where, and whose answer is taken,
// has to be kept here, for as long as it is used and no longer.

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

const (
	maxFlows    = 256              // of one sandbox at once
	flowIdle    = 60 * time.Second // without a datagram either way
	flowYield   = time.Second      // … after which it makes room for another
	flowQueue   = 32               // datagrams that wait, most while the host is looked up
	flowBytes   = maxDatagram      // … all together
	maxDatagram = 64 << 10         // bytes
)

// Datagrams is where captured datagrams arrive. Its methods may be called from several goroutines.
type Datagrams interface {
	// Receive takes one: how long it is, who sent it, and where to. The error is net.ErrClosed once it is
	// closed.
	Receive(b []byte) (n int, from, to netip.AddrPort, err error)
	// Reply sends one from where another was sent to, to who sent that. It does not wait.
	Reply(b []byte, from, to netip.AddrPort) error
	Close() error
}

// flow is the datagrams between a socket inside and one outside.
type flow struct {
	from, to netip.AddrPort // as the sandbox sees them
	in       Datagrams
	queue    chan []byte
	waiting  atomic.Int64 // bytes in queue
	used     atomic.Int64 // when the last datagram came, either way: Unix time in nanoseconds
	end      context.CancelFunc
}

type flowKey struct{ from, to netip.AddrPort }

func (f *flow) touch() { f.used.Store(time.Now().UnixNano()) }

func (f *flow) idle() time.Duration { return time.Since(time.Unix(0, f.used.Load())) }

// serveUDP takes datagrams until the socket is closed.
func (s *Sandbox) serveUDP(in Datagrams) {
	defer s.survive()
	buf := make([]byte, maxDatagram)
	for {
		n, from, to, err := in.Receive(buf)
		if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
			return
		}
		if err != nil {
			time.Sleep(acceptPause)
			continue
		}
		to = netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port())
		if f := s.flow(in, from, to); f != nil {
			f.touch()
			f.put(buf[:n])
		}
	}
}

// put has a datagram wait to be sent. If too much waits, it is lost, as datagrams may be.
func (f *flow) put(b []byte) {
	n := int64(len(b))
	if f.waiting.Add(n) <= flowBytes {
		select {
		case f.queue <- bytes.Clone(b):
			return
		default:
		}
	}
	f.waiting.Add(-n)
}

// flow gives the flow of a datagram, and begins it if it may be; nil if not.
func (s *Sandbox) flow(in Datagrams, from, to netip.AddrPort) *flow {
	s.mu.Lock()
	f := s.flows[flowKey{from, to}]
	s.mu.Unlock()
	if f != nil {
		return f
	}
	r := record.Decision{Kind: "udp", Target: to.String()}
	hosts, _, known := s.peer(to.Addr())
	if !known {
		r.Reason = noName
		s.ledger.writeOnce(r)
		return nil
	}
	host, req, d := s.decideUDP(hosts, to.Port())
	r.Target = hostPort(hosts[0], to.Port())
	if !d.Allow && !s.function.monitor {
		s.ledger.writeOnce(explained(r, s.function.engine.Explain(&req, d)))
		return nil
	}
	ctx, end := context.WithCancel(s.ctx)
	f = &flow{from: from, to: to, in: in, queue: make(chan []byte, flowQueue), end: end}
	f.touch()
	if !s.admitFlow(f) {
		end()
		s.ledger.writeOnce(record.Decision{Kind: "udp", Target: "(further flows)", Reason: "this sandbox sends from and to too many places at once"})
		return nil
	}
	s.passed(r, &req, d)
	go func() {
		defer s.survive()
		defer s.forgetFlow(f)
		s.serveFlow(ctx, f, host)
	}()
	return f
}

// RefusedDatagram records a datagram that the kernel refused: no rule names its port, so that it didn't come here.
func (s *Sandbox) RefusedDatagram(to netip.AddrPort) {
	to = netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port())
	r := record.Decision{Kind: "udp", Target: to.String(), Reason: noName}
	if hosts, _, known := s.peer(to.Addr()); known {
		_, req, d := s.decideUDP(hosts, to.Port())
		r.Target = hostPort(hosts[0], to.Port())
		r = explained(r, s.function.engine.Explain(&req, d))
	}
	s.ledger.writeOnce(r)
}

// decideUDP decides by whichever name of a host the policy allows, else by the first.
func (s *Sandbox) decideUDP(hosts []string, port uint16) (host string, req policy.Request, d policy.Decision) {
	for i := len(hosts) - 1; i >= 0; i-- {
		r, err := policy.NewUDP(hosts[i], port)
		if err != nil {
			continue // port 0: no rule names it
		}
		host, req, d = hosts[i], r, s.function.engine.Decide(&r)
		if d.Allow {
			break
		}
	}
	return host, req, d
}

// admitFlow keeps a flow. If there are too many, the one that was idle longest makes room, unless all
// are in use.
func (s *Sandbox) admitFlow(f *flow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if len(s.flows) >= maxFlows {
		var oldest *flow
		for _, o := range s.flows {
			if oldest == nil || o.used.Load() < oldest.used.Load() {
				oldest = o
			}
		}
		if oldest.idle() < flowYield {
			return false
		}
		oldest.end()
		delete(s.flows, flowKey{oldest.from, oldest.to})
	}
	s.flows[flowKey{f.from, f.to}] = f
	return true
}

func (s *Sandbox) forgetFlow(f *flow) {
	f.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := (flowKey{f.from, f.to}); s.flows[key] == f {
		delete(s.flows, key)
	}
}

// serveFlow carries datagrams both ways until nobody sends any more, or ctx ends.
func (s *Sandbox) serveFlow(ctx context.Context, f *flow, host string) {
	out, err := s.function.dialUDP(ctx, host, f.to.Port())
	if err != nil {
		if filtered := (*filteredError)(nil); errors.As(err, &filtered) {
			s.ledger.writeOnce(record.Decision{Kind: "udp", Target: hostPort(host, f.to.Port()), Reason: filtered.Error()})
		}
		s.function.egress.logger.Debug("udp flow failed", "to", f.to, "err", err)
		return
	}
	defer s.function.places.give()
	defer out.Close()
	go func() {
		defer s.survive()
		f.answers(ctx, out)
	}()
	look := time.NewTicker(flowIdle / 4)
	defer look.Stop()
	for {
		select {
		case b := <-f.queue:
			f.waiting.Add(int64(-len(b)))
			out.Write(b) // what can't be sent is lost, as datagrams may be
		case <-look.C:
			if f.idle() > flowIdle {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// answers passes on what comes back. The socket is connected: the kernel takes nothing from elsewhere.
func (f *flow) answers(ctx context.Context, out net.Conn) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := out.Read(buf)
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil { // the other end says that nobody is there; it may be later
			time.Sleep(acceptPause)
			continue
		}
		f.touch()
		f.in.Reply(buf[:n], f.to, f.from)
	}
}

// dialUDP makes a socket that is connected to a host. It has a place until whoever got it gives that
// back. The error is as for dialHost.
func (f *Function) dialUDP(ctx context.Context, host string, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addrs, err := f.addresses(ctx, host, port, f.engine.NamesUDP(host, port))
	if err != nil {
		return nil, err
	}
	if err := f.takePlace(ctx, true); err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range addrs {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a))
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	f.places.give()
	return nil, errors.Join(errs...)
}
