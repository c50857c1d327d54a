package egress

import "testing"

// TestSandboxServesOneFunction: a sandbox that waits for its function can be bound once, and only to one
// whose programs trust the same.
func TestSandboxServesOneFunction(t *testing.T) {
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	plain, other, raw := e.Function("a", compile(t)), e.Function("b", compile(t)), e.Function("c", compile(t, "tcp db.test:5432"))
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
