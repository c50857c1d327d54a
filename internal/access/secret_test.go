package access

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestSecretsAreUniqueAndTellTypos(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := newSecret()
		if seen[s] || len(s) != secretLen || !wellFormed(s) {
			t.Fatalf("%d bytes, seen %v", len(s), seen[s])
		}
		seen[s] = true
	}
	s := newSecret()
	for i := range len(s) {
		for _, c := range []byte("0aZ") {
			if typo := s[:i] + string(c) + s[i+1:]; typo != s && wellFormed(typo) {
				t.Errorf("a typo at %d is not told", i)
			}
		}
		if wellFormed(s[:i]) || wellFormed(s+s[:i+1]) {
			t.Errorf("another length is taken: %d", i)
		}
	}
}

func TestBearer(t *testing.T) {
	for value, want := range map[string]string{"Bearer x": "x", "bearer  x ": "x", "Bearer": "", "Bearer ": "", "x": "", "Basic x": "", "Bearer x y": "", "Bearer x,Bearer y": "", "": ""} {
		got, err := Bearer(http.Header{"Authorization": {value}})
		if got != want || (err == nil) != (want != "") || err != nil && weir.ErrorCode(err) != weir.Unknown {
			t.Errorf("%q: %q %v", value, got, err)
		}
	}
	for _, h := range []http.Header{{}, {"Authorization": {"Bearer x", "Bearer y"}}} {
		if got, err := Bearer(h); err == nil {
			t.Errorf("%v: %q", h, got)
		}
	}
}

// FuzzBearer: no header gives a token with anything in it that a log or a second header could be made of, nor is it
// repeated in an error.
func FuzzBearer(f *testing.F) {
	for _, s := range []string{"Bearer x", "bearer\tx", "Bearer a,b", "Bearer \x00", " Bearer x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, err := Bearer(http.Header{"Authorization": {value}})
		if err == nil && (token == "" || strings.ContainsAny(token, " ,\t")) {
			t.Errorf("%q gave %q", value, token)
		}
		if len(value) > 12 && err != nil && strings.Contains(err.Error(), value) {
			t.Errorf("the error repeats %q", value)
		}
		if wellFormed(value) && checksum(value[len(secretPrefix):secretLen-checkLen]) != value[secretLen-checkLen:] {
			t.Errorf("%q is taken for a secret", value)
		}
	})
}
