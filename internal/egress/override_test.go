package egress

import (
	"net/netip"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestParseOverride(t *testing.T) {
	for text, want := range map[string]Override{
		"api.test=127.0.0.1":                    {host: "api.test", addr: netip.MustParseAddr("127.0.0.1")},
		"API.test:443=127.0.0.1:8443":           {host: "api.test", port: 443, addr: netip.MustParseAddr("127.0.0.1"), to: 8443},
		"*.evil.test:443=127.0.0.1":             {host: "evil.test", down: true, port: 443, addr: netip.MustParseAddr("127.0.0.1")},
		"169.254.169.254=127.77.0.9":            {host: "169.254.169.254", addr: netip.MustParseAddr("127.77.0.9")},
		"[fd00:EC2::254]:80=[::1]:81":           {host: "fd00:ec2::254", port: 80, addr: netip.MustParseAddr("::1"), to: 81},
		"localhost:3000=[::ffff:127.0.0.1]:300": {host: "localhost", port: 3000, addr: netip.MustParseAddr("127.0.0.1"), to: 300},
	} {
		if got, err := ParseOverride(text); err != nil || got != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "=", "api.test", "api.test=", "=127.0.0.1", "api.test=other.test", "api.test:0=1.2.3.4", "api.test:65536=1.2.3.4",
		"api.test:080=1.2.3.4", "api.test:+80=1.2.3.4", "api.test=1.2.3.4:x", "api.test=1.2.3.4:", "::1=1.2.3.4", "[::1=1.2.3.4", "[::1]x=1.2.3.4", "[1.2.3.4]=1.2.3.4",
		"api.test=::1", "api.test=fe80::1%lo", "api.test=[fe80::1%lo]", "*=1.2.3.4", "*.=1.2.3.4", "*.1.2.3.4=1.2.3.4", "a.*.test=1.2.3.4", "api.test.=1.2.3.4", "0x7f.1=1.2.3.4", "api.test=1.2.3"} {
		_, err := ParseOverride(text)
		if weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestMostSpecificOverrideWins(t *testing.T) {
	var list []Override
	for _, s := range []string{"*.test=127.0.0.1", "*.test:443=127.0.0.2", "*.evil.test=127.0.0.3", "*.evil.test:443=127.0.0.4",
		"a.evil.test=127.0.0.5", "a.evil.test:443=127.0.0.6:8443", "b.evil.test=127.0.0.7", "b.evil.test=127.0.0.8"} {
		list = append(list, mustOverride(t, s))
	}
	e := &Egress{overrides: sortOverrides(list)}
	for _, c := range []struct {
		host string
		port uint16
		want string
	}{
		{"x.test", 80, "127.0.0.1:80"}, {"x.y.test", 443, "127.0.0.2:443"}, {"x.y.evil.test", 80, "127.0.0.3:80"}, {"x.evil.test", 443, "127.0.0.4:443"},
		{"evil.test", 443, "127.0.0.2:443"}, {"a.evil.test", 80, "127.0.0.5:80"}, {"a.evil.test", 443, "127.0.0.6:8443"}, {"b.evil.test", 1, "127.0.0.8:1"},
		{"test", 80, "invalid AddrPort"}, {"xtest", 80, "invalid AddrPort"}, {"notevil.test", 80, "127.0.0.1:80"},
	} {
		if got, _ := e.override(c.host, c.port); got.String() != c.want {
			t.Errorf("%s:%d goes to %s, want %s", c.host, c.port, got, c.want)
		}
	}
}

func TestBadUpstreamCA(t *testing.T) {
	if _, err := New(Options{UpstreamCAs: []byte("nonsense")}); weir.ErrorCode(err) != weir.Invalid {
		t.Errorf("%v", err)
	}
}
