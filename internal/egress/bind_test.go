package egress

import (
	"bytes"
	"testing"

	"github.com/weir-run/weir/internal/record"
)

// TestSandboxServesOneFunction: a sandbox that waits for its function can be bound once, and only to one
// whose programs trust the same.
func TestSandboxServesOneFunction(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	plain, other, raw := e.Function("a", compile(t), nil), e.Function("b", compile(t), nil), e.Function("c", compile(t, "tcp db.test:5432"), nil)
	if plain.OwnTLS() || !raw.OwnTLS() {
		t.Errorf("own TLS: %v and %v", plain.OwnTLS(), raw.OwnTLS())
	}
	s, err := e.Sandbox(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Bind(raw, "i"); err == nil {
		t.Error("bound to a function whose programs trust more")
	}
	if err := s.Bind(plain, "i"); err != nil {
		t.Error(err)
	}
	for _, f := range []*Function{plain, other} {
		if err := s.Bind(f, "j"); err == nil {
			t.Errorf("bound again, to %s", f.name)
		}
	}
}

// TestChildIsItsOwn: the outer end of a forked process shares with its origin what the process remembers,
// which are the authority and the addresses of names, and nothing that tells one's doing from the other's.
func TestChildIsItsOwn(t *testing.T) {
	records := &memory{}
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	f := e.Function("f", compile(t), records)
	origin, err := e.Sandbox(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(origin.Close)
	early, _ := origin.names.address("early.test", other)
	a, b := origin.Child(), origin.Child()
	for id, s := range map[string]*Sandbox{"zygote": origin, "a": a, "b": b} {
		t.Cleanup(s.Close)
		if err := s.Bind(f, id); err != nil {
			t.Fatal(err)
		}
		if name, _ := s.names.name(early); name != "early.test" || !bytes.Equal(s.CertFile(), origin.CertFile()) {
			t.Errorf("%s takes %s for %q", id, early, name)
		}
	}
	if a.Mark() == b.Mark() || a.Mark() == origin.Mark() {
		t.Error("marks are shared")
	}
	late, _ := a.names.address("late.test", other)
	if name, _ := b.names.name(late); name != "" {
		t.Errorf("a sibling's address is %q", name)
	}
	a.SetInvocations("1")
	b.SetInvocations("2")
	for _, s := range []*Sandbox{a, b} {
		s.tooMany()
	}
	for i, want := range []record.Decision{{Instance: "a", Request: "1"}, {Instance: "b", Request: "2"}} {
		if got := records.all(); len(got) != 2 || got[i].Instance != want.Instance || got[i].Request != want.Request {
			t.Fatalf("%+v", got)
		}
	}
}
