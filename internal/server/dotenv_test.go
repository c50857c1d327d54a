package server

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDotenv(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"A=1\nB = two words \n\n# no\nexport C=3":      {"A": "1", "B": "two words", "C": "3"},
		"A=p$ssw0rd${HOME}":                            {"A": "p$ssw0rd${HOME}"},
		"A='p$x #1' # comment\nB=\"x\\ny\"\nC='x\\ny'": {"A": "p$x #1", "B": "x\ny", "C": `x\ny`},
		"A=\nB=''":                                  {"A": "", "B": ""},
		"A=x # comment\r\nB=y\r\n":                  {"A": "x", "B": "y"},
		"A={\"json\": \"yes\"}":                     {"A": `{"json": "yes"}`},
		"KEY=\"-----BEGIN\nline\n-----END\"\nB=2":   {"KEY": "-----BEGIN\nline\n-----END", "B": "2"},
		"A=`it's \"fine\"`":                         {"A": `it's "fine"`},
		"URL=postgres://u:p@db.test:5432/x?a=b&c=d": {"URL": "postgres://u:p@db.test:5432/x?a=b&c=d"},
		"\ufeffA=1":                                 {"A": "1"},
		"A: yaml":                                   {"A": "yaml"},
		"A=1\nA=2":                                  {"A": "2"},
	} {
		f := filepath.Join(t.TempDir(), "env")
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readDotenv(f); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
}

func TestDotenvErrorsNameTheLineAndNotItsText(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\n# fine\nsk_live_secret here\nB=2\n":          "env:3: not a variable",
		"A=1\nKEY=\"sk_live_secret\nB=2\n":                 "env:2: a quote is not closed",
		"A=1\n\nKEY='sk_live_secret # x\n":                 "env:3: a quote is not closed",
		"KEY=`\n":                                          "env:1: a quote is not closed",
		"A=\"1\"\nKEY=\"-----BEGIN\nsk_live_secret\nB=2\n": "env:2: a quote is not closed",
	} {
		f := filepath.Join(t.TempDir(), "env")
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readDotenv(f)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sk_live") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
