package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for want, list := range map[class]string{
		public:   "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.0.1 198.17.0.1 198.20.0.0 223.255.255.255 2606:4700::1111 2001:4860::8888 64:ff9b::101:101 ::ffff:1.1.1.1",
		private:  "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 fc00::1 fd12::1 ::ffff:10.0.0.1 64:ff9b::a00:1",
		loopback: "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1",
		local:    "169.254.169.254 169.254.170.2 fe80::1 fe80::1%eth0 febf::1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe",
		metadata: "168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 fd20:ce::254 ::ffff:168.63.129.16",
		special: "0.0.0.0 0.1.2.3 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255 " +
			":: ::7f00:1 ::a00:1 ::ffff:0:7f00:1 ::ffff:0.0.0.0 64:ff9b:1::a00:1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 2002:7f00:1:: 2002:a00:1::1 3fff::1 fec0::1 ff02::1 ff0e::1 5f00::1 4000::1",
	} {
		for _, text := range strings.Fields(list) {
			if got := classify(netip.MustParseAddr(text)); got != want {
				t.Errorf("%s is %s, want %s", text, got, want)
			}
		}
	}
	if classify(netip.Addr{}) != special {
		t.Error("the invalid address")
	}
}

func TestPermit(t *testing.T) {
	rules := []string{"GET https://db.test/**", "GET https://*.wild.test/**", "tcp localhost:5432", "tcp 127.0.0.1:6379", "GET http://169.254.169.254/**", "GET http://169.254.1.1/**",
		"GET http://100.100.100.200/**", "GET http://10.0.0.5/**", "GET http://203.0.113.5/**"}
	for _, c := range []struct {
		host, addr string
		port       uint16
		want       bool
	}{
		{"db.test", "1.1.1.1", 443, true},
		{"db.test", "10.0.0.1", 443, true},
		{"db.test", "fd12::1", 443, true},
		{"db.test", "100.64.1.1", 443, true},
		{"db.test", "10.0.0.1", 80, false}, // another port
		{"db.test", "127.0.0.1", 443, false},
		{"db.test", "::1", 443, false},
		{"db.test", "169.254.169.254", 443, false},
		{"db.test", "100.100.100.200", 443, false},
		{"db.test", "fd00:ec2::254", 443, false},
		{"db.test", "192.0.2.1", 443, false},
		{"db.test", "0.0.0.0", 443, false},
		{"db.test", "255.255.255.255", 443, false},
		{"db.test", "64:ff9b::7f00:1", 443, false},
		{"a.wild.test", "10.0.0.1", 443, false},
		{"a.wild.test", "1.1.1.1", 443, true},
		{"evil.test", "10.0.0.1", 443, false},
		{"localhost", "127.0.0.1", 5432, true},
		{"localhost", "::1", 5432, true},
		{"localhost", "127.0.0.1", 6379, false},
		{"localhost", "169.254.169.254", 5432, false},
		{"127.0.0.1", "127.0.0.1", 6379, true},
		{"127.0.0.1", "127.0.0.2", 6379, false},
		{"169.254.169.254", "169.254.169.254", 80, true},
		{"169.254.1.1", "169.254.169.254", 80, false},
		{"100.100.100.200", "100.100.100.200", 80, true},
		{"10.0.0.5", "10.0.0.5", 80, true},
		{"203.0.113.5", "203.0.113.5", 80, false},
	} {
		for _, private := range []bool{true, false} {
			e := &Egress{private: private}
			f := &Function{egress: e, engine: compile(t, rules...)}
			want := c.want && (private || classify(netip.MustParseAddr(c.addr)) == public)
			if got := f.permit(c.host, f.engine.Names(c.host, c.port), netip.MustParseAddr(c.addr)); got != want {
				t.Errorf("%s:%d at %s (private %v): %v", c.host, c.port, c.addr, private, got)
			}
		}
	}
}

// TestMixedAnswers: of a name's addresses only those that pass are dialled, and an override is.
func TestMixedAnswers(t *testing.T) {
	e, err := New(Options{Resolve: []Override{mustOverride(t, "meta.test=169.254.169.254:81"), mustOverride(t, "169.254.169.254=127.77.0.9")}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	asked := 0
	e.lookup = func(context.Context, string) ([]netip.Addr, error) {
		asked++
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:1.2.3.4"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2606:4700::1")}, nil
	}
	f := e.Function("pay", compile(t, "GET https://a.test/**"), nil)
	for host, want := range map[string]string{
		"a.test": "[1.2.3.4:443 [2606:4700::1]:443]", "meta.test": "[169.254.169.254:81]", "169.254.169.254": "[127.77.0.9:443]", "1.1.1.1": "[1.1.1.1:443]",
	} {
		list, err := f.addresses(context.Background(), host, 443, f.engine.Names(host, 443))
		if err != nil || len(list) == 0 {
			t.Errorf("%s: %v", host, err)
			continue
		}
		var got []string
		for _, a := range list {
			got = append(got, a.String())
		}
		if "["+strings.Join(got, " ")+"]" != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	if asked != 1 {
		t.Errorf("the resolver was asked %d times", asked)
	}
}

// TestLoopbackByRule: a service of this machine, by name and by address, if a rule names it so and
// the server lets it.
func TestLoopbackByRule(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.Host) }))
	defer s.Close()
	port := s.Listener.Addr().(*net.TCPAddr).Port
	byName, byAddress := fmt.Sprintf("http://localhost:%d/", port), fmt.Sprintf("http://127.0.0.1:%d/", port)
	for _, c := range []struct {
		rule, url string
		private   bool
		want      int
	}{
		{byName, byName, true, 200}, {byAddress, byAddress, true, 200}, {byName, byAddress, true, 403}, {byAddress, byName, true, 403},
		{byName, byName, false, 502}, {byAddress, byAddress, false, 502},
	} {
		w := newWorld(t, config{rules: []string{"GET " + c.rule}, private: c.private})
		w.egress.lookup = lookup
		resp, body := w.do(w.client(false), "GET", c.url, "")
		if resp.StatusCode != c.want || c.want == 200 && "http://"+body+"/" != c.url {
			t.Errorf("rule %s, request %s, private %v: %d %s", c.rule, c.url, c.private, resp.StatusCode, body)
		}
	}
}
