package egress

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

func TestWhatIsAllowedIsRecorded(t *testing.T) {
	up := listening(t, func(c net.Conn) {
		io.Copy(c, c)
		c.Close()
	})
	w := newWorld(t, config{rules: []string{charge, "GET https://api.test/v1/items/*", "tcp db.test:5432"}, resolve: []string{"db.test=" + up}})
	c := w.client(false)
	w.do(c, "POST", "https://api.test/v1/charges?card=4242", "a=1")
	for i := range 2 {
		w.do(c, "GET", fmt.Sprintf("https://api.test/v1/items/%d", i), "")
		db := w.mustDial("db.test:5432")
		io.WriteString(db, "one")
		io.WriteString(db, "two") // it is one connection all the same
		db.CloseWrite()
		if b, err := io.ReadAll(db); err != nil || string(b) != "onetwo" {
			t.Fatalf("%q %v", b, err)
		}
	}
	var got []string
	for _, d := range w.records.of(record.Allow, "") {
		if d.Source != record.Egress || d.Function != "pay" || d.Instance != "i-1" || d.Request != "req-1" || d.Import || d.Reason != "" || d.Fix != "" || d.Time.IsZero() {
			t.Errorf("%+v", d)
		}
		got = append(got, strings.TrimSpace(d.Kind+" "+d.Method)+" "+d.Target+" by "+d.Nearest+" "+d.Rule)
	}
	item := ` by "GET https://api.test/v1/items/*" weir.toml:2`
	db := `tcp db.test:5432 by "db.test:5432" weir.toml:3`
	want := []string{`http POST https://api.test/v1/charges by "` + charge + `" weir.toml:1`,
		"http GET https://api.test/v1/items/0" + item, db, "http GET https://api.test/v1/items/1" + item, db}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d := w.records.all(); len(d) > 0 {
		t.Errorf("%+v", d)
	}
}

// TestWhatIsAllowedHidesNothing: calls that are allowed have a bound of their own, and repeated ones
// take no room.
func TestWhatIsAllowedHidesNothing(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	call := func(target string) {
		w.sandbox.ledger.pass(allowed, record.Decision{Kind: "http", Target: target})
	}
	for range 2 * maxRecords {
		call("https://api.test/same")
	}
	for i := range maxRecords + 50 {
		call(fmt.Sprint("https://api.test/", i))
	}
	w.sandbox.ledger.write(record.Decision{Kind: "http", Target: "https://evil.test/", Reason: "no rule"})
	if d := w.records.all(); len(d) != 1 || d[0].Target != "https://evil.test/" {
		t.Errorf("the denial is lost: %+v", d)
	}
	w.sandbox.SetInvocations("req-2")
	list := w.records.of(record.Allow, "")
	if len(list) != 3*maxRecords {
		t.Errorf("%d records", len(list))
	}
	last := list[len(list)-1]
	if last.Request != "req-1" || last.Reason != "(the last of 51 further calls of this invocation, which are not recorded one by one)" {
		t.Errorf("%+v", last)
	}
	call("https://api.test/same")
	if list := w.records.of(record.Allow, ""); len(list) != 3*maxRecords+1 || list[len(list)-1].Request != "req-2" {
		t.Errorf("the next invocation's call is lost: %+v", list[len(list)-1])
	}
}

// TestImport: what is tried before the first invocation is marked, and nothing later.
func TestImport(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	s, err := w.fn.Sandbox("i-2")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	req, err := policy.NewTCP("evil.test", 443)
	if err != nil {
		t.Fatal(err)
	}
	try := func() {
		s.ledger.write(record.Decision{Kind: "tcp", Target: "evil.test:443"})
		s.passed(record.Decision{Kind: "tcp", Target: "api.test:443"}, &req, policy.Decision{Allow: true, Rule: -1})
	}
	try()
	s.SetInvocations("req-1")
	try()
	s.SetInvocations()
	try()
	var got []string
	w.records.mu.Lock()
	defer w.records.mu.Unlock()
	for _, d := range w.records.list {
		got = append(got, fmt.Sprint(d.Verdict, d.Import, d.Request))
	}
	if want := "[denytrue allowtrue denyfalsereq-1 allowfalsereq-1 denyfalse allowfalse]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestRecordsNameAllInFlight: what one of several invocations tried is put down to all that it may have been, and to
// none if they are too many.
func TestRecordsNameAllInFlight(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprint("m", i))
	}
	for i, ids := range [][]string{{"a"}, {"a", "b"}, {"b"}, nil, many} {
		w.sandbox.SetInvocations(ids...)
		target := fmt.Sprint("evil.test:", i)
		w.sandbox.ledger.writeOnce(record.Decision{Kind: "tcp", Target: target, Reason: "no rule"})
		w.sandbox.ledger.writeOnce(record.Decision{Kind: "tcp", Target: "again.test:1", Reason: "no rule"})
		want := ids
		if len(ids) > 32 {
			want = nil
		}
		d := w.denied(target, func(d record.Decision) bool { return d.Target == target && slices.Equal(d.Among(), want) })
		if d.Import || (d.Request != "") != (len(ids) == 1) {
			t.Errorf("%v: %+v", ids, d)
		}
	}
	again := 0
	for _, d := range w.records.all() {
		if d.Target == "again.test:1" {
			again++
		}
	}
	if again != 4 { // the end of one invocation begins none
		t.Errorf("one denial was recorded %d times", again)
	}
}
