package egress

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// TestRulesOfASiteReachOnlyTheOutside: whatever name or notation leads to the inside.
func TestRulesOfASiteReachOnlyTheOutside(t *testing.T) {
	names := map[string][]netip.Addr{}
	for name, addrs := range map[string]string{"public.test": "93.184.216.34", "private.test": "10.0.0.7", "loop.test": "127.0.0.1", "meta.test": "169.254.169.254",
		"both.test": "10.0.0.7 93.184.216.34", "mapped.test": "::ffff:10.0.0.7", "nat64.test": "64:ff9b::a00:7", "localhost": "127.0.0.1", "azure.test": "168.63.129.16"} {
		for a := range strings.FieldsSeq(addrs) {
			names[name] = append(names[name], netip.MustParseAddr(a))
		}
	}
	e := &Egress{lookup: func(_ context.Context, host string) ([]netip.Addr, error) { return names[host], nil }}
	for host, want := range map[string][2]string{ // without and with private addresses
		"public.test":        {"[93.184.216.34:80]", "[93.184.216.34:80]"},
		"both.test":          {"[93.184.216.34:80]", "[10.0.0.7:80 93.184.216.34:80]"},
		"private.test":       {"", "[10.0.0.7:80]"},
		"mapped.test":        {"", "[10.0.0.7:80]"},
		"nat64.test":         {"", "[[64:ff9b::a00:7]:80]"},
		"loop.test":          {"", ""},
		"localhost":          {"", "[127.0.0.1:80]"},
		"127.0.0.1":          {"", "[127.0.0.1:80]"},
		"[::ffff:127.0.0.1]": {"", "[127.0.0.1:80]"},
		"meta.test":          {"", ""},
		"azure.test":         {"", ""},
		"169.254.169.254":    {"", ""},
		"168.63.129.16":      {"", ""},
		"[fe80::1]":          {"", ""},
		"0.0.0.0":            {"", ""},
		"nowhere.test":       {"", ""},
	} {
		for i, private := range []bool{false, true} {
			got := ""
			if list, err := e.outside(t.Context(), host+":80", private); err == nil {
				got = fmt.Sprint(list)
			}
			if got != want[i] {
				t.Errorf("%s, private %v: %s, want %s", host, private, got, want[i])
			}
		}
	}
}

func TestTransportOfRules(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "here") }))
	defer s.Close()
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for private, want := range map[bool]string{true: "here", false: "127.0.0.1 leads to a loopback address, which is out of reach"} {
		r, err := http.NewRequest("GET", s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if res, err := e.Transport(private).RoundTrip(r); err != nil {
			got = err.Error()
		} else {
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			got = string(b)
		}
		if got != want {
			t.Errorf("private %v: %s", private, got)
		}
	}
}

// TestUpstreamsOfRulesFillNoMemory: by HTTP/2 one may send no more ahead than an upstream of a function, as the client
// may take it slowly.
func TestUpstreamsOfRulesFillNoMemory(t *testing.T) {
	window := make(chan uint32, 1)
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
		defer c.Close()
		io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
		f, err := http2.NewFramer(c, c).ReadFrame()
		if settings, ok := f.(*http2.SettingsFrame); ok && err == nil {
			n, _ := settings.Value(http2.SettingInitialWindowSize)
			window <- n
		}
		close(window)
	}}
	s.StartTLS()
	defer s.Close()
	e, err := New(Options{UpstreamCAs: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := e.Transport(true).RoundTrip(r); err == nil {
		res.Body.Close()
	}
	if n := <-window; n == 0 || n > streamWindow {
		t.Errorf("it may send %d bytes", n)
	}
}
