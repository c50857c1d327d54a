package egress

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// budgetWorld is a world whose rules have this budget each.
func budgetWorld(t *testing.T, mode policy.Mode, handler http.Handler, budget policy.Budget, rules ...string) *world {
	t.Helper()
	return newWorld(t, config{rules: rules, mode: mode, handler: handler, budget: &budget})
}

func TestBudgetOfCalls(t *testing.T) {
	w := budgetWorld(t, policy.Enforce, nil, policy.Budget{MaxCalls: 2}, "GET https://api.test/*", "GET https://other.test/*")
	for _, two := range []bool{false, true} {
		w.sandbox.SetInvocations("req-" + fmt.Sprint(two))
		c := w.client(two)
		for i := range 3 {
			resp, body := w.do(c, "GET", fmt.Sprintf("https://api.test/%d?secret", i), "")
			if i < 2 && resp.StatusCode != 200 {
				t.Errorf("call %d: %d %s", i, resp.StatusCode, body)
			}
			if i < 2 {
				continue
			}
			if p := problemOf(t, resp, body); resp.StatusCode != 403 || p.Code != deniedCode || p.Fix != "" || p.Nearest != `"GET https://api.test/*"` ||
				!strings.Contains(p.Detail, "the budget of its rule is used up (2 calls per invocation)") {
				t.Errorf("%+v", p)
			}
		}
		if resp, _ := w.do(c, "GET", "https://other.test/x", ""); resp.StatusCode != 200 {
			t.Errorf("one rule's budget is another's: %d", resp.StatusCode)
		}
		// What runs between two invocations has no budget of its own.
		w.sandbox.SetInvocations()
		if resp, _ := w.do(c, "GET", "https://api.test/late", ""); resp.StatusCode != 403 {
			t.Errorf("after the invocation: %d", resp.StatusCode)
		}
	}
	d := w.denied("the third call", func(d record.Decision) bool { return d.Target == "https://api.test/2" })
	if d.Kind != "http" || d.Method != "GET" || d.Rule != "weir.toml:1" || d.Fix != "" || d.Reason != "the budget of its rule is used up (2 calls per invocation)" {
		t.Errorf("%+v", d)
	}
}

// TestBudgetPerMinute: all instances of a function have one, and it is whole again after a minute.
func TestBudgetPerMinute(t *testing.T) {
	w := budgetWorld(t, policy.Enforce, nil, policy.Budget{MaxCalls: 3, Per: policy.PerMinute}, "GET https://api.test/*")
	status := func() int {
		resp, _ := w.do(w.client(false), "GET", "https://api.test/x", "")
		return resp.StatusCode
	}
	now := time.Now()
	w.fn.meters.of(policy.Charge{Budget: w.fn.engine.Policy().Rules[0].Budget}).now = func() time.Time { return now }
	first := status()
	w.sandbox.Close()
	w.conns = &pairListener{}
	w.conns.start(t)
	w.start(nil) // another instance
	if got := fmt.Sprint(first, status(), status(), status()); got != "200 200 200 403" {
		t.Error(got)
	}
	now = now.Add(59 * time.Second)
	before := status()
	now = now.Add(time.Second)
	if after := status(); before != 403 || after != 200 {
		t.Errorf("%d, then %d", before, after)
	}
}

// TestBudgetOfBytes counts bodies both ways. What is announced to be too long is not begun; what turns
// out to be is cut.
func TestBudgetOfBytes(t *testing.T) {
	var sent bytes.Buffer
	w := budgetWorld(t, policy.Enforce, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upload":
			n, _ := io.Copy(&sent, r.Body)
			fmt.Fprint(rw, n)
		case "/long":
			rw.Header().Set("Content-Length", "2000")
			io.WriteString(rw, strings.Repeat("x", 2000))
		case "/stream":
			for range 20 {
				io.WriteString(rw, strings.Repeat("x", 100))
				rw.(http.Flusher).Flush()
			}
		}
	}), policy.Budget{MaxBytes: 1000}, "POST https://api.test/upload", "GET https://api.test/*")
	for i, two := range []bool{false, true} {
		c := w.client(two)
		begin := func() { w.sandbox.SetInvocations(fmt.Sprintf("bytes-%d-%d", i, time.Now().UnixNano())) }
		begin()
		if resp, body := w.do(c, "POST", "https://api.test/upload", strings.Repeat("a", 900)); resp.StatusCode != 200 || body != "900" {
			t.Errorf("within the budget: %d %s", resp.StatusCode, body)
		}
		if resp, _ := w.do(c, "POST", "https://api.test/upload", strings.Repeat("b", 98)); resp.StatusCode != 403 { // the response counted, too
			t.Errorf("a body that is too long: %d", resp.StatusCode)
		}
		begin()
		// Of unknown length: the client sends until it is stopped.
		r, err := http.NewRequest("POST", "https://api.test/upload", io.LimitReader(endless('c'), 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := c.Do(r); err == nil {
			if resp.StatusCode != 403 {
				t.Errorf("HTTP/2 %t: an endless body: %d", two, resp.StatusCode)
			}
			resp.Body.Close()
		}
		for _, path := range []string{"/long", "/stream"} {
			begin()
			resp, err := c.Get("https://api.test" + path)
			if err != nil {
				continue // cut before it began
			}
			if b, err := io.ReadAll(resp.Body); err == nil || len(b) > 1000 {
				t.Errorf("HTTP/2 %t: %s: %d bytes, %v", two, path, len(b), err)
			}
			resp.Body.Close()
		}
	}
	if got := sent.String(); strings.Contains(got, "b") || strings.Count(got, "c") > 2000 {
		t.Errorf("outside came %d a, %d b, %d c", strings.Count(got, "a"), strings.Count(got, "b"), strings.Count(got, "c"))
	}
	for _, target := range []string{"/upload", "/long", "/stream"} {
		d := w.denied(target, func(d record.Decision) bool { return d.Target == "https://api.test"+target })
		if d.Reason != "the budget of its rule is used up (1000B per invocation)" {
			t.Errorf("%+v", d)
		}
	}
}

// endless is a reader of one letter.
type endless byte

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

// TestBudgetOfAWebSocket: both directions count, and when it is used up the connection ends.
func TestBudgetOfAWebSocket(t *testing.T) {
	w := budgetWorld(t, policy.Enforce, agree(t), policy.Budget{MaxBytes: 100}, "ws://api.test/live")
	c, rd, resp := w.handshake("ws://api.test/live")
	if resp.StatusCode != 101 {
		t.Fatal(resp.StatusCode)
	}
	io.WriteString(c, strings.Repeat("x", 40))
	if b := make([]byte, 40); readFull(rd, b) != nil {
		t.Fatal("the echo did not come")
	}
	io.WriteString(c, strings.Repeat("y", 40))
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := io.ReadAll(rd); len(b) > 0 {
		t.Errorf("%q came back beyond the budget, %v", b, err)
	}
	w.denied("the cut", func(d record.Decision) bool {
		return d.Kind == "ws" && strings.Contains(d.Reason, "100B per invocation")
	})
}

// TestMonitoredBudget: what is beyond a budget is recorded and let through.
func TestMonitoredBudget(t *testing.T) {
	w := budgetWorld(t, policy.Monitor, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, strings.Repeat("x", 2000))
	}), policy.Budget{MaxCalls: 2, MaxBytes: 1000}, "GET https://api.test/*")
	for i := range 2 {
		if resp, body := w.do(w.client(false), "GET", fmt.Sprint("https://api.test/", i), ""); resp.StatusCode != 200 || len(body) != 2000 {
			t.Errorf("%d: %d, %d bytes", i, resp.StatusCode, len(body))
		}
		w.monitoredAs("http", fmt.Sprint("https://api.test/", i))
	}
	w.do(w.client(false), "GET", "https://api.test/third", "")
	w.monitoredAs("http", "https://api.test/third")
	if d := w.records.all(); len(d) > 0 {
		t.Errorf("%+v", d)
	}
}

// TestBudgetOfOverlappingInvocations: a call counts for each that it may have been, and one that finds no room
// counts for none; nobody gets a budget anew because another one begins.
func TestBudgetOfOverlappingInvocations(t *testing.T) {
	w := budgetWorld(t, policy.Enforce, nil, policy.Budget{MaxCalls: 2}, "GET https://api.test/*")
	c := w.client(false)
	for _, step := range []struct {
		flight []string
		want   []int
	}{
		{[]string{"a"}, []int{200}},
		{[]string{"a", "b"}, []int{200, 403}}, // a has used all of its own
		{[]string{"b"}, []int{200, 403}},      // b the half
		{nil, []int{403}},
		{[]string{"a"}, []int{200, 200, 403}},
	} {
		w.sandbox.SetInvocations(step.flight...)
		for _, want := range step.want {
			if resp, body := w.do(c, "GET", "https://api.test/x", ""); resp.StatusCode != want {
				t.Errorf("%v: %d %s, want %d", step.flight, resp.StatusCode, body, want)
			}
		}
	}
}
