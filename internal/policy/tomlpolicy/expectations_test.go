package tomlpolicy

import (
	"errors"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestExpectations(t *testing.T) {
	got, err := ParseExpectations("weir.test.toml", []byte("[functions.charge]\nallow = [\"env A\"]\n[functions.\"ch*\"]\ndeny = [\"exec /bin/sh\", \"env B\"]\n"))
	if err != nil || len(got) != 3 {
		t.Fatalf("got %v %v", got, err)
	}
	if x := got[0]; !x.Allow || x.Question != "env A" || x.Pos.String() != "weir.test.toml:2:10" || !x.About("charge") || x.About("chart") {
		t.Errorf("got %+v", x)
	}
	if x := got[2]; x.Allow || x.Question != "env B" || x.Pos.String() != "weir.test.toml:4:25" || !x.About("chart") {
		t.Errorf("got %+v", x)
	}
}

func TestBadExpectations(t *testing.T) {
	for text, want := range map[string]string{
		"[functions.charge]\nallow = \"env A\"\n":      `t.toml:2:9: expected a list, found a text; write allow = ["env A"]`,
		"[functions.charge]\nallow = [1]\n":            `t.toml:2:10: expected a text in quotes, found a whole number; write it in quotes`,
		"[functions.charge]\nallows = []\n":            `t.toml:2:1: unknown key "allows" in [functions.charge]; did you mean "allow"?`,
		"[function.charge]\nallow = []\n":              `t.toml:1:2: unknown key "function" at the top; did you mean "functions"?`,
		"[charge]\nallow = []\n":                       `t.toml:1:2: unknown key "charge" at the top; write [functions.NAME]`,
		"functions = 1\n":                              `t.toml:1:13: expected tables, found a whole number; write [functions.NAME]`,
		"[functions]\ncharge = 1\n":                    `t.toml:2:10: expected a table, found a whole number; write [functions.charge]`,
		"[functions.\"a/b\"]\n":                        `t.toml:1:12: "a/b" is not the name of a function; write a name, or a glob such as "admin-*"; * is any characters`,
		"[functions.charge]\nallow = [\"a\"\ndeny = 1": "t.toml:3:1: ",
	} {
		_, err := ParseExpectations("t.toml", []byte(text))
		if err == nil || err.Error() != want && want[len(want)-1] != ' ' {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func FuzzParseExpectations(f *testing.F) {
	f.Add([]byte("[functions.charge]\nallow = [\"env A\"]\n[functions.\"ch*\"]\ndeny = [\"exec /bin/sh\"]\n"))
	f.Add([]byte("functions.a.deny = ['''\nx''']\n"))
	f.Add([]byte("[functions]\na = { allow = [] }\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseExpectations("t.toml", data)
		var e *weir.Error
		if err != nil && (!errors.As(err, &e) || e.Pos.File == "" || e.Message == "") {
			t.Fatalf("an error without a place: %v", err)
		}
		for _, x := range list {
			if x.Pos.Line == 0 || x.Pos.Column == 0 || x.Section == "" {
				t.Fatalf("an expectation without a place: %+v", x)
			}
		}
	})
}
