package record

import "testing"

func TestRedactorTakesValuesOut(t *testing.T) {
	m := &Memory{}
	r := NewRedactor(m)
	r.SetValues(map[string]string{"KEY": "sk_live_1234", "LONG": "sk_live_1234_more", "LEVEL": "debug"})
	r.Denied(Denial{Target: "https://evil.test/sk_live_1234/sk_live_1234_more/debug", Fix: `http = ["GET https://evil.test/sk_live_1234"]`})
	r.Invoked(Invocation{Error: "no sk_live_1234"})
	if got, want := m.Denials()[0].Target, "https://evil.test/[KEY]/[LONG]/debug"; got != want {
		t.Errorf("target %s, want %s", got, want)
	}
	if got, want := m.Denials()[0].Fix, `http = ["GET https://evil.test/[KEY]"]`; got != want {
		t.Errorf("fix %s, want %s", got, want)
	}
	if got := m.Invocations()[0].Error; got != "no [KEY]" {
		t.Errorf("error %s", got)
	}
}
