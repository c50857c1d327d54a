package server

import (
	"testing"

	"github.com/weir-run/weir/internal/record"
)

// TestNaming: records say which variable names a host, and nothing else of its value.
func TestNaming(t *testing.T) {
	var got record.Memory
	n := newNaming(&got)
	n.setValues(map[string]string{
		"DATABASE_URL": "postgres://u:sk.live.secret@DB.pay.test:5432/shop?host=replica.pay.test",
		"MONGO":        "mongodb+srv://u:p@cluster0.data.test/x",
		"API_HOST":     "api.pay.test",
		"WORD":         "localhost",
	})
	for _, c := range []struct{ kind, target, named string }{
		{"tcp", "db.pay.test:5432", "DATABASE_URL"},
		{"tcp", "replica.pay.test:5432", "DATABASE_URL"},
		{"udp", "db.pay.test:1", "DATABASE_URL"},
		{"http", "https://api.pay.test/v1", "API_HOST"},
		{"http", "https://api.pay.test:8443/v1", "API_HOST"},
		{"ws", "wss://api.pay.test/", "API_HOST"},
		{"dns", "SRV _mongodb._tcp.cluster0.data.test.", "MONGO"},
		{"http", "https://x.api.pay.test/", ""},
		{"http", "https://pay.test/", ""},
		{"http", "https://[::1]:80/", ""},
		{"http", "https://localhost/", ""},
		{"read", "/db.pay.test", ""},
	} {
		n.Decided(record.Decision{Kind: c.kind, Target: c.target})
		all := got.Decisions()
		if d := all[len(all)-1]; d.Named != c.named || d.Target != c.target {
			t.Errorf("%s %s: named by %q, want %q", c.kind, c.target, d.Named, c.named)
		}
	}
}
