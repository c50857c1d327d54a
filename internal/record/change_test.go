package record

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestChangesStandInTheChain: a change is a line like any other, is read back as it was, and can't be altered.
func TestChangesStandInTheChain(t *testing.T) {
	c := Change{Time: noon, Author: "anna", From: "192.0.2.1", Action: "env.set", Site: "s1", Deploy: "d1", Detail: map[string]string{"key": "A", "context": "all"}}
	got := written(t, func(f *File) { f.Changed(c); f.Changed(Change{Time: noon, Author: "b", Action: "token.create"}) })
	want := []string{
		`{"v":2,"type":"change","time":"2026-01-02T12:00:00.5Z","author":"anna","from":"192.0.2.1","action":"env.set","site":"s1","deploy":"d1","detail":{"context":"all","key":"A"}}`,
		`{"v":2,"type":"change","time":"2026-01-02T12:00:00.5Z","author":"b","action":"token.create"}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	back, err := readAll(t, got[0]+"\n")
	if err != nil || len(back) != 1 || back[0].Change == nil || !reflect.DeepEqual(*back[0].Change, c) {
		t.Errorf("%v %+v", err, back)
	}
	path := t.TempDir() + "/records"
	f := open(t, path, FileOptions{})
	f.Changed(c)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if checked := verify(t, path); checked[0].Broken != nil {
		t.Fatal(checked[0].Broken)
	}
	write(t, path, []byte(strings.Replace(string(read(t, path)), "anna", "otto", 1)))
	if checked := verify(t, path); checked[0].Broken == nil {
		t.Error("another author is not seen")
	}
}

// TestEveryTextOfAChangeIsRedactedAndBounded: a title or a note may hold a value by mistake, or be endless.
func TestEveryTextOfAChangeIsRedactedAndBounded(t *testing.T) {
	var q taker
	r := NewRedactor(Multi(&Memory{}, &q))
	r.SetValues(map[string]string{"KEY": "sk_live_1234"})
	text := "a sk_live_1234"
	r.Changed(Change{Author: text, From: text, Action: text, Site: text, Deploy: text, Detail: map[string]string{text: text}})
	clean := "a [KEY]"
	want := Change{Author: clean, From: clean, Action: clean, Site: clean, Deploy: clean, Detail: map[string]string{clean: clean}}
	if len(q.got) != 1 || !reflect.DeepEqual(q.got[0], want) {
		t.Errorf("%+v", q.got)
	}

	long := strings.Repeat("\x00", 1<<20)
	c := Change{Author: long, From: long, Action: long, Site: long, Deploy: long, Detail: map[string]string{}}
	for i := range 1000 {
		c.Detail[fmt.Sprintf("%03d%s", i, long[:maxName])] = long
	}
	line, err := encodeChange(c)
	if err != nil || len(line) > maxLine-100 { // the chain adds a hash
		t.Errorf("%d bytes: %v", len(line), err)
	}
	var back Change
	if err := json.Unmarshal(line, &back); err != nil || back.Detail["…"] != "984 more" || len(back.Detail) != maxDetails+1 {
		t.Errorf("%v: %d details, %q", err, len(back.Detail), back.Detail["…"])
	}
}

type taker struct{ got []Change }

func (*taker) Decided(Decision)   {}
func (*taker) Invoked(Invocation) {}
func (k *taker) Changed(c Change) { k.got = append(k.got, c) }
