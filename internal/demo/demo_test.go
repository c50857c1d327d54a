package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// realSite sets the site up where `weir demo` does, so that it is fetched once and not for each run
// of the tests. The first time, npm needs its registry.
func realSite(t *testing.T) (node, site, state string) {
	t.Helper()
	state = os.Getenv("WEIR_STATE_DIR")
	if state == "" && os.Getuid() == 0 {
		state = "/var/cache/weir"
	} else if state == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		state = filepath.Join(cache, "weir")
	}
	node, err := program("node")
	if err != nil {
		t.Fatal(err)
	}
	site, err = setUp(context.Background(), state, embedded(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return node, site, state
}

func loot(via ...string) []Piece {
	var out []Piece
	for _, s := range secrets {
		out = append(out, Piece{What: s.what, From: s.from, Via: append([]string{}, via...)})
	}
	return out
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func TestBareNodeIsRobbedByEveryWay(t *testing.T) {
	node, site, _ := realSite(t)
	h, err := runBare(context.Background(), node, site)
	if err != nil {
		t.Fatal(err)
	}
	if !h.Charged {
		t.Errorf("the charge failed: %s", h.Failure)
	}
	equal(t, "receipt", h.Receipt, "1.00 USD, card ending in 0005")
	equal(t, "loot", h.Loot, loot("https", "tcp", "dns"))
	equal(t, "what was reached", h.Reached, map[string]int{"https": 1, "tcp": 1, "dns": 6, "metadata": 2})
	if !h.Telemetry {
		t.Error("stripe kept no telemetry id, which the text says it does")
	}
	if len(h.Attempts) != 7 {
		t.Errorf("%d attempts, want 7: %v", len(h.Attempts), h.Attempts)
	}
	for _, a := range h.Attempts {
		if a.Outcome != done || a.Why != "" {
			t.Errorf("%+v", a)
		}
	}
	if t.Failed() {
		t.Logf("Node printed:\n%s", strings.Join(h.Log, "\n"))
	}
}

func TestBehindWeirNothingLeaves(t *testing.T) {
	node, site, state := realSite(t)
	h, err := runWalled(context.Background(), node, site, state)
	if err != nil {
		t.Fatal(err)
	}
	if !h.Charged {
		t.Errorf("the charge failed: %s", h.Failure)
	}
	equal(t, "receipt", h.Receipt, "1.00 USD, card ending in 0005")
	equal(t, "loot", h.Loot, loot())
	equal(t, "what was reached", h.Reached, map[string]int{})
	equal(t, "others", h.Others, []record.Decision(nil))
	if h.Telemetry {
		t.Error("stripe could write a telemetry id")
	}
	recorded := map[string]bool{}
	for _, a := range h.Attempts {
		if a.Outcome == done || a.Why == "" {
			t.Errorf("%+v", a)
		}
		recorded[a.Kind+" "+a.Target] = a.Denial != nil
	}
	equal(t, "attempts that have a record", recorded, map[string]bool{
		"read ~/.npmrc":           false, // there is nothing to refuse: no such file inside
		"read /proc/self/environ": false,
		"exec /bin/sh":            true,
		"http PUT http://169.254.169.254/latest/api/token": true,
		"http POST https://thief.example/c":                true,
		"tcp 203.0.113.66:4444":                            true,
		"dns A *.thief.example":                            false, // answered inside
	})
	if t.Failed() {
		t.Logf("the function and Weir printed:\n%s", strings.Join(h.Log, "\n"))
	}
}

// TestOnlyThePolicyIsInTheWay is the control: with a policy that allows them, the same calls reach the
// thief behind Weir, too. So the silence in the story is not that of a thief who can't be reached.
func TestOnlyThePolicyIsInTheWay(t *testing.T) {
	node, site, state := realSite(t)
	loose := t.TempDir()
	if err := os.CopyFS(loose, os.DirFS(site)); err != nil {
		t.Fatal(err)
	}
	rules := `[functions.charge]
http = [
  "POST https://api.stripe.com/v1/charges",
  "POST https://thief.example/c",
  "PUT http://169.254.169.254/latest/api/token",
  "GET http://169.254.169.254/latest/meta-data/**",
]
tcp = ["203.0.113.66:4444"]
env = ["STRIPE_API_KEY"]
`
	if err := os.WriteFile(filepath.Join(loose, "weir.toml"), []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := runWalled(context.Background(), node, loose, state)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "what was reached", h.Reached, map[string]int{"https": 1, "tcp": 1, "metadata": 2})
	for _, p := range h.Loot {
		want := []string{}
		switch p.What {
		case "Stripe key", "card number", "cloud credentials":
			want = []string{"https", "tcp"}
		}
		equal(t, p.What, p.Via, want)
	}
	if t.Failed() {
		t.Logf("the function and Weir printed:\n%s", strings.Join(h.Log, "\n"))
	}
}

func TestThePackageIsHarmlessOutsideTheDemo(t *testing.T) {
	node, site, _ := realSite(t)
	n, err := openInternet()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	hijack := filepath.Join(site, "node_modules", "receipt-format", "hijack.js")
	t.Setenv("STRIPE_API_KEY", "sk_live_of_somebody")
	out, err := combined(node, "-e", `require(process.argv[1])({ number: '1' }).then(() => console.log('end'))`, hijack)
	if err != nil || out != "end\n" {
		t.Errorf("with another key it did something: %v\n%s", err, out)
	}
}

func TestStandInsEnd(t *testing.T) {
	n, err := openInternet()
	if err != nil {
		t.Fatal(err)
	}
	for name, addr := range n.routes {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.Close()
	}
	n.close()
	for name, addr := range n.routes {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Errorf("%s still listens", name)
		}
	}
}

// story is one that came true.
func story() (bare, walled *Half) {
	bare = &Half{Charged: true, Loot: loot("https", "tcp", "dns"), Telemetry: true, Reached: map[string]int{"https": 1, "tcp": 1, "dns": 6, "metadata": 2},
		Attempts: []Attempt{{Kind: "tcp", Target: "203.0.113.66:4444", Outcome: done}}}
	walled = &Half{Charged: true, Loot: loot(), Reached: map[string]int{},
		Attempts: []Attempt{{Kind: "tcp", Target: "203.0.113.66:4444", Outcome: "ECONNRESET", Why: "no rule names it"}}}
	return bare, walled
}

func TestDifferences(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(bare, walled *Half)
		want  string
	}{
		"as it should be":        {func(b, w *Half) {}, ""},
		"bare charge":            {func(b, w *Half) { b.Charged, b.Failure = false, "no" }, "on bare Node the charge failed: no"},
		"bare theft":             {func(b, w *Half) { b.Loot[2].Via = []string{"https", "dns"} }, "on bare Node the thief did not receive the npm token by tcp"},
		"charge behind Weir":     {func(b, w *Half) { w.Charged, w.Failure = false, "no" }, "behind Weir the charge failed: no"},
		"theft behind Weir":      {func(b, w *Half) { w.Loot[0].Via = []string{"dns"} }, "behind Weir the thief received the Stripe key by dns"},
		"a message without loot": {func(b, w *Half) { w.Reached["tcp"] = 1 }, "behind Weir 1 messages arrived by tcp"},
		"metadata":               {func(b, w *Half) { w.Reached["metadata"] = 1 }, "behind Weir 1 messages arrived by metadata"},
		"the attack did not run": {func(b, w *Half) { w.Attempts = nil }, "the hijacked package made 1 attempts on bare Node and 0 behind Weir"},
		"an attempt that worked": {func(b, w *Half) { w.Attempts[0].Outcome = done }, "behind Weir the hijacked package says that this succeeded: tcp 203.0.113.66:4444"},
	} {
		bare, walled := story()
		c.spoil(bare, walled)
		if got := strings.Join(differences(bare, walled), "\n"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTextFits(t *testing.T) {
	bare, walled := story()
	hostile := Attempt{Kind: "http", Target: "GET http://x.example/" + strings.Repeat("y", 300), Outcome: "\x1b[31mred", Why: "because\nof it"}
	for range 6 {
		walled.Attempts = append(walled.Attempts, hostile)
	}
	for range 50 {
		walled.Others = append(walled.Others, record.Decision{Kind: "read", Target: "/\x1b[31m", Reason: strings.Repeat("z", 200)})
	}
	o := &Outcome{Bare: *bare, Weir: *walled, Differed: slices.Repeat([]string{"x"}, 40)}
	var plain, coloured bytes.Buffer
	if err := o.Text(&plain, false); err != nil {
		t.Fatal(err)
	}
	if err := o.Text(&coloured, true); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(plain.String(), "\n"), "\n")
	if len(lines) > 60 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if len([]rune(l)) > columns {
			t.Errorf("%d columns: %s", len([]rune(l)), l)
		}
	}
	if strings.Contains(plain.String(), "\x1b") {
		t.Error("colours though none are wanted, or from inside the sandbox")
	}
	uncoloured := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[0m", "").Replace(coloured.String())
	if uncoloured != plain.String() || uncoloured == coloured.String() {
		t.Errorf("colours change more than colours:\n%q", coloured.String())
	}
}

func TestJSONRoundTrip(t *testing.T) {
	bare, walled := story()
	b, err := json.Marshal(&Outcome{CameTrue: true, Bare: *bare, Weir: *walled})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"came_true":true`, `"what":"Stripe key"`, `"via":["https","tcp","dns"]`, `"via":[]`, `"reached":{}`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
}
