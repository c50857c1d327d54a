package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/demo"
)

// The demo runs in the default state folder, so that it is set up once and not for each test run.

func TestDemoTellsTheStory(t *testing.T) {
	var out, errw bytes.Buffer
	if code := Main([]string{"demo"}, nil, &out, &errw); code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, out.String(), errw.String())
	}
	for _, want := range []string{"stolen: https, tcp, dns", "not stolen", "POST https://thief.example/c", `http = ["POST https://api.stripe.com/v1/charges"]`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours, but not on a terminal")
	}
}

func TestDemoJSON(t *testing.T) {
	var out, errw bytes.Buffer
	if code := Main([]string{"demo", "--json"}, nil, &out, &errw); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, errw.String())
	}
	var o struct {
		CameTrue bool `json:"came_true"`
		Weir     struct {
			Charged bool
			Loot    []struct{ Via []string }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &o); err != nil {
		t.Fatal(err)
	}
	if !o.CameTrue || !o.Weir.Charged || len(o.Weir.Loot) != 6 {
		t.Errorf("outcome: %s", out.String())
	}
}

func TestDemoWithoutNode(t *testing.T) {
	t.Setenv("PATH", "")
	var out, errw bytes.Buffer
	if code := Main([]string{"demo"}, nil, &out, &errw); code != exitError || out.Len() > 0 || !strings.Contains(errw.String(), "install Node.js") {
		t.Errorf("exit code %d, %q, %q", code, out.String(), errw.String())
	}
}

func TestDemoThatDidNotComeTrue(t *testing.T) {
	o := &demo.Outcome{Differed: []string{"behind Weir the thief received the Stripe key by tcp"},
		Weir: demo.Half{Log: []string{"hijack\ttcp\tdone", "\x1b[2Jcleared"}}}
	for _, asJSON := range []bool{false, true} {
		var out, errw bytes.Buffer
		err := tellDemo(&streams{out: &out, err: &errw}, o, asJSON)
		var exit *quietExit
		if !errors.As(err, &exit) || exit.code != exitError {
			t.Errorf("error: %v", err)
		}
		if !strings.Contains(out.String(), o.Differed[0]) {
			t.Errorf("it does not say what differed:\n%s", out.String())
		}
		if errw.String() != "| hijack\ttcp\tdone\n| \ufffd[2Jcleared\n" {
			t.Errorf("log: %q", errw.String())
		}
	}
}
