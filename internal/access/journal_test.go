package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// told keeps the changes that the signed records of a server get.
type told struct {
	mu  sync.Mutex
	all []record.Change
}

func (k *told) Changed(c record.Change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, c)
}

func actions(cs []record.Change) string {
	var out []string
	for _, c := range cs {
		out = append(out, c.Action)
	}
	return strings.Join(out, " ")
}

func TestJournalIsReadByFilter(t *testing.T) {
	ctx, s, also := t.Context(), open(t), &told{}
	j, err := NewJournal(ctx, s, also)
	must(t, err)
	noon := time.Now().UTC().Add(-time.Hour)
	for i, c := range []record.Change{
		{Author: "anna", Action: "env.set", Site: "s1"}, {Author: "bob", Action: "env.delete", Site: "s1"}, {Author: "anna", Action: "deploy.publish", Site: "s2"},
		{Author: "anna", Action: "token.create"}, {Author: "bob", Action: "env.set", Site: "server"}, {Author: "anna", Action: "site.create", Site: "a.b *>"},
	} {
		c.Time = noon.Add(time.Duration(i) * time.Minute)
		must(t, j.Append(ctx, c))
	}
	if got := actions(also.all); got != "env.set env.delete deploy.publish token.create env.set site.create" {
		t.Errorf("the server's own records: %s", got)
	}
	for name, c := range map[string]struct {
		f    Filter
		want string
	}{
		"all":              {Filter{}, "env.set env.delete deploy.publish token.create env.set site.create"},
		"site":             {Filter{Site: "s1"}, "env.set env.delete"},
		"a site's name":    {Filter{Site: "server"}, "env.set"},
		"a hostile name":   {Filter{Site: "a.b *>"}, "site.create"},
		"no wildcard":      {Filter{Site: "*"}, ""},
		"author":           {Filter{Author: "bob"}, "env.delete env.set"},
		"action":           {Filter{Action: "env.set"}, "env.set env.set"},
		"kind of actions":  {Filter{Action: "env."}, "env.set env.delete env.set"},
		"no half a word":   {Filter{Action: "env"}, ""},
		"since":            {Filter{Since: noon.Add(4 * time.Minute)}, "env.set site.create"},
		"the last":         {Filter{Limit: 2}, "env.set site.create"},
		"the last of many": {Filter{Author: "bob", Limit: 1}, "env.set"},
		"one far back":     {Filter{Action: "env.delete", Limit: 1}, "env.delete"},
	} {
		if got, err := j.Read(ctx, c.f); err != nil || actions(got) != c.want {
			t.Errorf("%s: %s %v", name, actions(got), err)
		}
	}
}

func TestJournalIsFollowed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := open(t)
	j, err := NewJournal(ctx, s, nil)
	must(t, err)
	got, ended := make(chan string, 100), make(chan error, 1)
	go func() {
		ended <- j.Follow(ctx, Filter{Site: "s1", Author: "anna"}, func(c record.Change) error { got <- c.Action; return nil })
	}()
	// When it has begun, nobody is told: so changes come until one is seen.
	for i, seen := 0, ""; seen == ""; i++ {
		must(t, j.Append(ctx, record.Change{Author: "anna", Action: fmt.Sprint(i), Site: "s1"}))
		must(t, j.Append(ctx, record.Change{Author: "bob", Action: "other", Site: "s1"}))
		must(t, j.Append(ctx, record.Change{Author: "anna", Action: "other", Site: "s2"}))
		select {
		case seen = <-got:
		case <-time.After(10 * time.Millisecond):
		}
		if seen == "other" {
			t.Error("what was not asked for is given")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(got)
	for action := range got {
		if action == "other" {
			t.Error("what was not asked for is given")
		}
	}
}

// TestJournalFailsClosed: a change that isn't kept is an error, and is not told as made.
func TestJournalFailsClosed(t *testing.T) {
	ctx, s, also := t.Context(), open(t), &told{}
	j, err := NewJournal(ctx, s, also)
	must(t, err)
	for _, c := range []record.Change{{Author: "anna"}, {Action: "env.set"}} {
		want(t, j.Append(ctx, c), weir.Internal)
	}
	j.stream = full{j.stream}
	if err := j.Append(ctx, record.Change{Author: "anna", Action: "env.set"}); err != errFull {
		t.Error(err)
	}
	if len(also.all) != 0 {
		t.Errorf("told of what was not kept: %+v", also.all)
	}
}

var errFull = errors.New("full")

type full struct{ store.Stream }

func (full) Append(context.Context, string, string, []byte) (uint64, error) { return 0, errFull }

// TestJournalLosesNothingOfMany: several servers append at once.
func TestJournalLosesNothingOfMany(t *testing.T) {
	ctx, s := t.Context(), open(t)
	var all sync.WaitGroup
	for server := range 4 {
		j, err := NewJournal(ctx, s, nil)
		must(t, err)
		all.Go(func() {
			for i := range 25 {
				if err := j.Append(ctx, record.Change{Author: fmt.Sprint(server), Action: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	j, err := NewJournal(ctx, s, nil)
	must(t, err)
	got, err := j.Read(ctx, Filter{Limit: 1000})
	must(t, err)
	seen := map[string]bool{}
	for _, c := range got {
		seen[c.Author+" "+c.Action] = true
	}
	if len(got) != 100 || len(seen) != 100 {
		t.Errorf("%d changes, %d different", len(got), len(seen))
	}
}

// TestJournalFlood: whoever makes changes without end drives out what they did themselves, and nothing of others.
func TestJournalFlood(t *testing.T) {
	ctx := t.Context()
	j, err := newJournal(ctx, open(t), nil, 2<<20)
	must(t, err)
	must(t, j.Append(ctx, record.Change{Author: "anna", Action: "deploy.approve", Site: "s1"}))
	for i := range 1500 { // of 2 KB each
		c := record.Change{Author: "mallory", Action: "env.set", Site: fmt.Sprint("s", i%20), Detail: map[string]string{}}
		for d := range 4 {
			c.Detail[fmt.Sprint(d)] = strings.Repeat("x", 500)
		}
		must(t, j.Append(ctx, c))
	}
	if got, err := j.Read(ctx, Filter{Author: "anna"}); err != nil || actions(got) != "deploy.approve" {
		t.Errorf("after a flood: %s %v", actions(got), err)
	}
	if got, err := j.Read(ctx, Filter{Author: "mallory", Site: "s1"}); err != nil || len(got) == 0 {
		t.Errorf("of who flooded: %d %v", len(got), err)
	}
}
