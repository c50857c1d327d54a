package site

import (
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/weir-run/weir/internal/weir"
)

// TestLocate: positions are those that the parser gives, whatever the lines are like.
func TestLocate(t *testing.T) {
	text := "a = 1\r\n  \"b.ä\".c = '''\nx\n''' # é\n[t]\n\td = [ 1,\n 2 ]\n\n[[ 'l' . m ]]\ne.f = { g = 1 }\n[[\"l\".m]]\nh = 2"
	c, err := parseConfig("netlify.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var p unstable.Parser
	p.Reset([]byte(text))
	n := 0
	for p.NextExpression() {
		it := p.Expression().Key()
		it.Next()
		start := p.Shape(it.Node().Raw).Start
		want, found := weir.Position{File: "netlify.toml", Line: start.Line, Column: start.Column}, false
		for _, pos := range c.where {
			found = found || pos == want
		}
		if n++; !found && !strings.HasPrefix(text[it.Node().Raw.Offset:], "\"l\"") { // the second [[l.m]]: the first counts
			t.Errorf("no key is at %s: %v", want, c.where)
		}
	}
	if n != 8 {
		t.Errorf("%d keys", n)
	}
}

// TestLocateIsFast: a file of many headers is read in time that grows with its size only.
func TestLocateIsFast(t *testing.T) {
	begin := time.Now()
	if _, err := parseConfig("netlify.toml", []byte(strings.Repeat("[[a]]\n", configMax/6))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
