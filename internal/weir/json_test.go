package weir

import (
	"encoding/json"
	"testing"
)

// FuzzString: a string written by hand reads as one written by encoding/json.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a\"b\\c", "\x00\x1f\x7f\t\n\r", "\xff\xc3", "\xed\xa0\x80", "\u2028\u2029\ufffd\U0001f600", "</script>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		theirs, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got, want string
		if err := json.Unmarshal(AppendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(theirs, &want); err != nil || got != want {
			t.Fatalf("%q reads as %q, want %q (%v)", s, got, want, err)
		}
	})
}
