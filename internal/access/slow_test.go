package access

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestClientsAreSlowedByThemselves(t *testing.T) {
	c := &clock{at: time.Unix(1e9, 0)}
	s := newSlowdown(c.now)
	bad, other := clientOf("2001:db8::1"), clientOf("192.0.2.1")
	for i := range clientFailures {
		if s.refuses(bad, "x") {
			t.Fatalf("refused after %d failures", i)
		}
		s.failed(bad, "x")
	}
	if !s.refuses(bad, "x") || s.refuses(other, "x") {
		t.Error("the wrong one is refused")
	}
	for _, same := range []string{"2001:db8::2", "2001:db8::ffff:1%eth0"} {
		if !s.refuses(clientOf(same), "x") {
			t.Errorf("%s, of the same network, is not refused", same)
		}
	}
	if s.refuses(clientOf("2001:db8:0:1::1"), "x") {
		t.Error("another network is refused")
	}
	s.succeeded("right")
	if s.refuses(bad, "right") {
		t.Error("a token that was right is refused because of others behind the same address")
	}
	s.failed(bad, "right") // it was revoked
	if !s.refuses(bad, "right") {
		t.Error("a token that is right no more is not refused")
	}
	c.at = c.at.Add(2 * clientEvery)
	if s.refuses(bad, "x") {
		t.Error("nothing is forgiven")
	}
	s.failed(bad, "x")
	if !s.refuses(bad, "x") {
		t.Error("all is forgiven at once")
	}
}

// TestManyClientsTogether: who guesses from many addresses has one guess of each, memory is bounded, and nobody else
// is locked out.
func TestManyClientsTogether(t *testing.T) {
	c := &clock{at: time.Unix(1e9, 0)}
	s := newSlowdown(c.now)
	address := func(i int) netip.Prefix { return clientOf(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)) }
	for i := range allFailures {
		s.failed(address(i), "x")
	}
	for i := range maxClients - allFailures {
		s.clients[clientOf(fmt.Sprintf("2001:db8:0:%x::", i))] = c.at.Add(time.Hour)
	}
	for i := range maxGood {
		s.succeeded(fmt.Sprint("good", i))
	}
	for i := allFailures; i < allFailures+200; i++ {
		if s.refuses(address(i), "x") {
			t.Fatal("an address that nothing is known of is refused")
		}
		s.failed(address(i), "x")
		if !s.refuses(address(i), "x") {
			t.Fatal("a second guess of one of many")
		}
		s.succeeded(fmt.Sprint(i))
	}
	if len(s.clients) > maxClients || len(s.good) > maxGood {
		t.Errorf("%d clients, %d digests", len(s.clients), len(s.good))
	}
	c.at = c.at.Add(time.Hour)
	fresh := clientOf("192.0.2.1")
	if s.failed(fresh, "x"); s.refuses(fresh, "x") {
		t.Error("the guesses of others are never forgiven")
	}
}

func TestClientOf(t *testing.T) {
	if clientOf("::ffff:192.0.2.1") != clientOf("192.0.2.1") {
		t.Error("an IPv4 address has two forms")
	}
	if clientOf("") != clientOf("no address") || clientOf("") == clientOf("0.0.0.0") {
		t.Error("what is no address is not one client")
	}
}
