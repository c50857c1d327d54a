package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
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
