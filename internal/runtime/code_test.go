package runtime

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestCodeIsNamedByAllThatV8AsksFor(t *testing.T) {
	node, err := FindNode(t.Context(), NodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	limits := weir.DefaultLimits()
	larger := limits
	larger.Memory *= 2
	older := node
	older.Version = "v20.0.0"
	seen := map[string]string{}
	for _, c := range []struct {
		what  string
		node  Node
		l     weir.Limits
		pack  string
		index string
		known bool
	}{
		{"first", node, limits, "a", "b", false}, {"the same again", node, limits, "a", "b", true},
		{"another pack", node, limits, "b", "b", false}, {"scripts that stand elsewhere in it", node, limits, "a", "a", false},
		{"another Node", older, limits, "a", "b", false}, {"another heap", node, larger, "a", "b", false},
	} {
		key, err := CodeKey(c.node, c.l, strings.NewReader(c.pack), strings.NewReader(c.index))
		if err != nil {
			t.Fatal(err)
		}
		if _, known := seen[key]; known != c.known {
			t.Errorf("%s has the name of %q", c.what, seen[key])
		}
		seen[key] = c.what
	}
	if _, err := CodeKey(Node{Path: "/no/such/node"}, limits, strings.NewReader(""), strings.NewReader("")); err == nil {
		t.Error("a Node that is not there has a name")
	}
}

func TestWhatIsNoCode(t *testing.T) {
	for _, bad := range []string{"", "[1]", "[1]\n", "[1]\nab", "[-1,2]\na", "[9223372036854775807,9223372036854775807]\na", "[]\n", "null\n", "{}\n", "[1.5]\na", "[1", "\n\n"} {
		if c, err := ParseCode([]byte(bad)); err == nil {
			t.Errorf("%q is taken for code: %+v", bad, c)
		}
	}
	if c, err := ParseCode([]byte("[1,0,2]\nabc")); err != nil || len(c.Sizes) != 3 || string(c.Data) != "abc" {
		t.Errorf("got %+v %v", c, err)
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add([]byte("[1,0,2]\nabc"))
	f.Add([]byte("[-1]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCode(b)
		if err != nil {
			return
		}
		at := 0
		for _, n := range c.Sizes {
			at += len(c.Data[at : at+n]) // panics if a size is not that of a part
		}
		if at != len(c.Data) || !bytes.HasSuffix(b, c.Data) {
			t.Errorf("%q gives %+v", b, c)
		}
	})
}
