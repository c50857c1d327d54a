package environ

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/natsstore"
	"github.com/weir-run/weir/internal/weir"
)

// world is a store and what was written to the journal.
type world struct {
	store.Store
	dir string

	mu      sync.Mutex
	changes []record.Change
	fail    error
}

func (w *world) Append(_ context.Context, c record.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail == nil {
		w.changes = append(w.changes, c)
	}
	return w.fail
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := natsstore.Open(t.Context(), natsstore.Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(s.Close)
	return &world{Store: s, dir: t.TempDir()}
}

func (w *world) open(t *testing.T) *Service {
	t.Helper()
	s, err := Open(t.Context(), Options{Store: w, Changes: w, StateDir: w.dir})
	must(t, err)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err error, code weir.Code) {
	t.Helper()
	if weir.ErrorCode(err) != code {
		t.Errorf("%v, want an error of code %q", err, code)
	}
}

var anna = Author{Name: "anna", From: "192.0.2.1"}

// plain is a variable with one value for all contexts.
func plain(site, key, value string) Variable {
	return Variable{Site: site, Key: key, Values: []Value{{Context: All, Value: value}}}
}

func TestMostSpecificValueCounts(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	s := w.open(t)
	for _, v := range []Variable{
		{Site: "s1", Key: "A", Values: []Value{{All, "", "all"}, {weir.ContextBranch, "", "branches"}, {Branch, "Staging", "staging"}, {weir.ContextProduction, "", "prod"}}},
		{Site: "s1", Key: "ONLY_DEV", Values: []Value{{weir.ContextDev, "", "dev"}}},
		{Site: "s1", Key: "BUILD", Scopes: []string{"builds"}, Values: []Value{{All, "", "build"}}},
		{Site: "s1", Key: "SECRET", Secret: true, Values: []Value{{All, "", "secret"}}},
		{Site: "s1", Key: "PART", Values: []Value{{weir.ContextProduction, "", "site"}}},
		plain("", "PART", "account"), plain("", "ACCOUNT", "account"), plain("", "SECRET", "not it"), plain("", "A", "no"),
		plain("s2", "OTHER", "no"), plain("account", "ACCOUNT", "no"),
	} {
		must(t, s.Set(ctx, anna, v))
	}
	must(t, s.SetDeployVariables(ctx, anna, "d1", []Variable{plain("s1", "A", "deploy"), plain("s1", "MINE", "deploy")}))
	for name, c := range map[string]struct {
		q    Query
		want map[string]string
	}{
		"production":     {Query{Site: "s1", Context: weir.ContextProduction, Secrets: true}, map[string]string{"A": "prod", "BUILD": "build", "SECRET": "secret", "PART": "site", "ACCOUNT": "account"}},
		"preview":        {Query{Site: "s1", Context: weir.ContextPreview, Scope: "functions"}, map[string]string{"A": "all", "PART": "account", "ACCOUNT": "account"}},
		"branch":         {Query{Site: "s1", Context: weir.ContextBranch, Branch: "staging", Scope: "functions"}, map[string]string{"A": "staging", "PART": "account", "ACCOUNT": "account"}},
		"another branch": {Query{Site: "s1", Context: weir.ContextBranch, Branch: "x", Scope: "functions"}, map[string]string{"A": "branches", "PART": "account", "ACCOUNT": "account"}},
		"dev":            {Query{Site: "s1", Context: weir.ContextDev, Scope: "functions"}, map[string]string{"A": "all", "ONLY_DEV": "dev", "PART": "account", "ACCOUNT": "account"}},
		"a deploy's own": {Query{Site: "s1", Deploy: "d1", Context: weir.ContextProduction, Scope: "functions"}, map[string]string{"A": "deploy", "MINE": "deploy", "PART": "site", "ACCOUNT": "account"}},
		"other site":     {Query{Site: "s2", Deploy: "d2", Context: weir.ContextProduction, Secrets: true}, map[string]string{"A": "no", "OTHER": "no", "SECRET": "not it", "PART": "account", "ACCOUNT": "account"}},
	} {
		if got, err := s.Resolve(ctx, c.q); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	all, err := s.List(ctx, "s1")
	if must(t, err); len(all) != 5 || all[0].Values[0].Branch != "staging" || all[0].Values[3].Context != All {
		t.Errorf("the first that fits must be the most specific: %+v", all)
	}
	must(t, s.RemoveDeploy(ctx, "d1"))
	must(t, s.RemoveSite(ctx, "s1"))
	got, err := s.Resolve(ctx, Query{Site: "s1", Deploy: "d1", Context: weir.ContextProduction, Secrets: true})
	if want := (map[string]string{"A": "no", "SECRET": "not it", "PART": "account", "ACCOUNT": "account"}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after the end of the site: %v %v", got, err)
	}
}

// TestSecretsAreNotGivenBack goes through the ways in which a client that was shown no value sends a secret again.
func TestSecretsAreNotGivenBack(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	s := w.open(t)
	production := func() string {
		t.Helper()
		env, err := s.Resolve(ctx, Query{Site: "s1", Context: weir.ContextProduction, Secrets: true})
		must(t, err)
		return env["KEY"]
	}
	v := Variable{Site: "s1", Key: "KEY", Secret: true, Values: []Value{{weir.ContextProduction, "", "sk_live_1234"}, {weir.ContextDev, "", ""}}}
	must(t, s.Set(ctx, anna, v))
	shown := func() Variable {
		t.Helper()
		one, err := s.Get(ctx, "s1", "KEY")
		must(t, err)
		all, err := s.List(ctx, "s1")
		must(t, err)
		for _, v := range append(all, one) {
			for _, w := range v.Values {
				if w.Value != "" {
					t.Errorf("given back: %+v", v)
				}
			}
		}
		return one
	}
	if got := shown(); !got.Secret || len(got.Values) != 1 || got.Author != "anna" {
		t.Errorf("%+v", got)
	}
	again := shown()
	again.Secret, again.Scopes = false, []string{"functions"}
	must(t, s.Set(ctx, anna, again))
	if got := shown(); !got.Secret || !slices.Equal(got.Scopes, []string{"functions"}) || production() != "sk_live_1234" {
		t.Errorf("a secret came to light, or its value was lost: %+v, %q", got, production())
	}
	want(t, s.SetValue(ctx, anna, "s1", "KEY", Value{weir.ContextProduction, "", ""}), weir.Invalid)
	must(t, s.SetValue(ctx, anna, "s1", "KEY", Value{weir.ContextProduction, "", "sk_live_5678"}))
	if shown(); production() != "sk_live_5678" {
		t.Error(production())
	}
	must(t, s.DeleteValue(ctx, anna, "s1", "KEY", Value{Context: weir.ContextProduction}))
	if got := shown(); len(got.Values) != 0 || production() != "" {
		t.Errorf("%+v", got)
	}
	want(t, s.Set(ctx, anna, Variable{Site: "s1", Key: "KEY", Values: []Value{{All, "", ""}}}), weir.Invalid)
	must(t, s.Delete(ctx, anna, "s1", "KEY"))
	for _, err := range []error{s.Delete(ctx, anna, "s1", "KEY"), s.SetValue(ctx, anna, "s1", "KEY", Value{All, "", "x"}), s.DeleteValue(ctx, anna, "s1", "KEY", Value{Context: All})} {
		want(t, err, weir.NotFound)
	}
	must(t, s.Set(ctx, anna, plain("s1", "KEY", "plain")))
	if got, err := s.Get(ctx, "s1", "KEY"); err != nil || got.Secret || got.Values[0].Value != "plain" {
		t.Errorf("%+v %v", got, err)
	}
}

// TestValuesAreNowhereButSealed looks for values in the store, the journal and errors.
func TestValuesAreNowhereButSealed(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	s := w.open(t)
	const value = "sk_live_1234567890"
	must(t, s.Set(ctx, anna, Variable{Site: "s1", Key: "KEY", Values: []Value{{All, "", value}, {Branch, "b", value}}, Secret: true}))
	must(t, s.SetValue(ctx, anna, "s1", "KEY", Value{weir.ContextDev, "", value}))
	must(t, s.SetDeployVariables(ctx, anna, "d1", []Variable{plain("s1", "KEY", value)}))
	kv, err := w.KV(ctx, bucket)
	must(t, err)
	entries, err := kv.List(ctx, "")
	must(t, err)
	written, err := json.Marshal(w.changes)
	must(t, err)
	for _, e := range entries {
		written = append(append(written, e.Key...), e.Value...)
	}
	for _, err := range []error{
		s.Set(ctx, anna, Variable{Key: "KEY=" + value, Values: []Value{{All, "", "x"}}}), s.Set(ctx, anna, plain("s1", "KEY", value+"\x00")),
		s.Set(ctx, anna, plain("s1", "KEY", strings.Repeat(value, 10_000))), s.SetValue(ctx, anna, "s1", "KEY", Value{"x", "", value}),
		s.SetValue(ctx, anna, "s1", "NONE", Value{All, "", value}),
	} {
		if err == nil {
			t.Error("no error")
		}
		written = append(written, fmt.Sprint(err)...)
	}
	if len(entries) != 3 || strings.Contains(string(written), value[:10]) {
		t.Errorf("%d entries; in the open: %s", len(entries), written)
	}
	var actions []string
	for _, c := range w.changes {
		actions = append(actions, strings.Join([]string{c.Author, c.From, c.Action, c.Site, c.Deploy, c.Detail["key"], c.Detail["contexts"], c.Detail["secret"]}, ","))
	}
	if !slices.Equal(actions, []string{"anna,192.0.2.1,env.set,s1,,KEY,branch:b all,true", "anna,192.0.2.1,env.set,s1,,KEY,dev,", "anna,192.0.2.1,env.set,s1,d1,KEY,all,"}) {
		t.Errorf("%q", actions)
	}
}

func TestNothingIsSetThatTheJournalDoesNotTake(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	s := w.open(t)
	must(t, s.Set(ctx, anna, plain("s1", "A", "1")))
	w.fail = errors.New("full")
	for _, err := range []error{s.Set(ctx, anna, plain("s1", "A", "2")), s.Set(ctx, anna, plain("s1", "B", "2")), s.SetValue(ctx, anna, "s1", "A", Value{All, "", "2"}),
		s.DeleteValue(ctx, anna, "s1", "A", Value{Context: All}), s.Delete(ctx, anna, "s1", "A"), s.SetDeployVariables(ctx, anna, "d1", []Variable{plain("s1", "A", "2")})} {
		if err != w.fail {
			t.Error(err)
		}
	}
	if got, err := s.Resolve(ctx, Query{Site: "s1", Deploy: "d1"}); err != nil || !reflect.DeepEqual(got, map[string]string{"A": "1"}) {
		t.Errorf("%v %v", got, err)
	}
}

// TestNoChangeOfManyIsLost: two servers change values of one variable at the same time.
func TestNoChangeOfManyIsLost(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	servers := []*Service{w.open(t), w.open(t)}
	must(t, servers[0].Set(ctx, anna, plain("s1", "A", "1")))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := servers[i%2].SetValue(ctx, anna, "s1", "A", Value{Branch, fmt.Sprint("b", i), "x"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if v, err := servers[0].Get(ctx, "s1", "A"); err != nil || len(v.Values) != 9 {
		t.Errorf("%d values: %v", len(v.Values), err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	ctx, w := t.Context(), newWorld(t)
	s := w.open(t)
	many := make([]Value, maxValues+1)
	for i := range many {
		many[i] = Value{Branch, fmt.Sprint(i), ""}
	}
	big := strings.Repeat("x", MaxValue)
	for name, c := range map[string]struct {
		v    Variable
		code weir.Code
	}{
		"no name":          {plain("", "", "x"), weir.Invalid},
		"a digit in front": {plain("", "1A", "x"), weir.Invalid},
		"a dot":            {plain("", "A.B", "x"), weir.Invalid},
		"a line end":       {plain("", "A\nB", "x"), weir.Invalid},
		"a long name":      {plain("", strings.Repeat("A", maxKey+1), "x"), weir.Invalid},
		"node's":           {plain("", "NODE_OPTIONS", "--require=/tmp/x"), weir.Invalid},
		"the loader's":     {plain("", "LD_PRELOAD", "x"), weir.Invalid},
		"weir's":           {plain("", "WEIR_X", "x"), weir.Invalid},
		"at run time":      {Variable{Key: "LD_PRELOAD", Scopes: []string{"builds", "runtime"}, Values: []Value{{All, "", "x"}}}, weir.Invalid},
		"no value":         {Variable{Key: "A"}, weir.Invalid},
		"NUL":              {plain("", "A", "a\x00b"), weir.Invalid},
		"no UTF-8":         {plain("", "A", "\xff"), weir.Invalid},
		"too long":         {plain("", "A", big+"x"), weir.TooLarge},
		"too much":         {Variable{Key: "A", Values: []Value{{Branch, "1", big}, {Branch, "2", big}, {Branch, "3", big}, {Branch, "4", big}, {All, "", "x"}}}, weir.TooLarge},
		"too many":         {Variable{Key: "A", Values: many}, weir.TooLarge},
		"no such context":  {Variable{Key: "A", Values: []Value{{"prod", "", "x"}}}, weir.Invalid},
		"no branch":        {Variable{Key: "A", Values: []Value{{Branch, "", "x"}}}, weir.Invalid},
		"a branch for all": {Variable{Key: "A", Values: []Value{{All, "b", "x"}}}, weir.Invalid},
		"a terminal":       {Variable{Key: "A", Values: []Value{{Branch, "\x1b[2J", "x"}}}, weir.Invalid},
		"a context's name": {Variable{Key: "A", Values: []Value{{Branch, "All", "x"}}}, weir.Invalid},
		"twice":            {Variable{Key: "A", Values: []Value{{Branch, "B", "x"}, {All, "", "x"}, {Branch, "b", "y"}}}, weir.Invalid},
		"no such scope":    {Variable{Key: "A", Scopes: []string{"edge"}, Values: []Value{{All, "", "x"}}}, weir.Invalid},
	} {
		if err := s.Set(ctx, anna, c.v); weir.ErrorCode(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, s.Set(ctx, anna, plain("s1", "NODE_ENV", big)))
	must(t, s.Set(ctx, anna, plain("s1", "AWS_LAMBDA_JS_RUNTIME", "nodejs22.x")))
	must(t, s.Set(ctx, anna, Variable{Site: "s1", Key: "NODE_OPTIONS", Scopes: []string{"builds"}, Values: []Value{{All, "", "--max-old-space-size=4096"}}}))
	if env, err := s.Resolve(ctx, Query{Site: "s1", Scope: "functions"}); err != nil || env["NODE_OPTIONS"] != "" || env["AWS_LAMBDA_JS_RUNTIME"] == "" {
		t.Error("what is meant for builds reaches functions:", env["NODE_OPTIONS"], err)
	}
	must(t, s.Delete(ctx, anna, "s1", "AWS_LAMBDA_JS_RUNTIME"))
	must(t, s.Delete(ctx, anna, "s1", "NODE_OPTIONS"))
	must(t, s.Set(ctx, anna, plain("s1", "x_414", "x"))) // looks like an encoded name

	kv, err := w.KV(ctx, bucket)
	must(t, err)
	for i := range MaxVariables - 2 {
		_, err := kv.Put(ctx, ofSite("s1").at(fmt.Sprint("F", i)), nil)
		must(t, err)
	}
	want(t, s.Set(ctx, anna, plain("s1", "ONE_MORE", "x")), weir.TooLarge)
	must(t, s.Set(ctx, anna, plain("s1", "NODE_ENV", "test")))
	must(t, s.Set(ctx, anna, plain("s2", "ONE_MORE", "x")))
	large := func(key string) Variable {
		return Variable{Site: "s3", Key: key, Values: []Value{{Branch, "1", big}, {Branch, "2", big}, {Branch, "3", big}, {All, "", big}}}
	}
	const fit = MaxPlace/(4*MaxValue) - 1 // with what sealing adds
	for i := range fit {
		must(t, s.Set(ctx, anna, large(fmt.Sprint("F", i))))
	}
	want(t, s.Set(ctx, anna, large("ONE_MORE")), weir.TooLarge)
	must(t, s.Set(ctx, anna, large("F0")))
	if len(w.changes) != 8+fit+1 {
		t.Errorf("%d changes in the journal", len(w.changes))
	}
}

// TestWatchTellsWhoseVariablesChanged: by each other server, a site at a time.
func TestWatchTellsWhoseVariablesChanged(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := newWorld(t)
	one, two := w.open(t), w.open(t)
	must(t, one.Set(ctx, anna, plain("before", "A", "1")))
	begun, got, ended := make(chan struct{}), make(chan string, 10), make(chan error, 1)
	go func() {
		ended <- two.Watch(ctx, func() { close(begun) }, func(site string) error { got <- site; return nil })
	}()
	<-begun
	must(t, one.SetDeployVariables(ctx, anna, "d1", []Variable{plain("s1", "A", "1")}))
	must(t, one.Set(ctx, anna, plain("s1", "A", "1")))
	must(t, one.SetValue(ctx, anna, "s1", "A", Value{All, "", "2"}))
	must(t, one.Set(ctx, anna, plain("", "A", "1")))
	must(t, one.Delete(ctx, anna, "s1", "A"))
	must(t, one.Set(ctx, anna, plain("x.y *", "A", "1")))
	for _, want := range []string{"s1", "s1", "", "s1", "x.y *"} {
		if site := <-got; site != want {
			t.Errorf("told of %q, want %q", site, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
