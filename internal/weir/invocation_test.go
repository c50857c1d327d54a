package weir

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestWholeAnswer(t *testing.T) {
	for _, c := range []struct{ head, body, want string }{
		{`{"statusCode":200,"headers":{"a":"b"}}`, "text", `{"body":"text","headers":{"a":"b"},"isBase64Encoded":false,"statusCode":200}`},
		{`{}`, "\xff\x00", `{"body":"/wA=","isBase64Encoded":true}`},
		{`{"body":"no"}`, "", `{"body":"","isBase64Encoded":false}`},
	} {
		closed := &closer{Reader: strings.NewReader(c.body)}
		got, err := (&Stream{Head: json.RawMessage(c.head), Body: closed}).Whole()
		if err != nil || string(got) != c.want || !closed.closed {
			t.Errorf("got %s %v, want %s", got, err, c.want)
		}
	}
	cut := errors.New("cut")
	if _, err := (&Stream{Head: json.RawMessage(`{}`), Body: &closer{Reader: io.MultiReader(strings.NewReader("half"), failing{cut})}}).Whole(); err != cut {
		t.Errorf("an answer that is cut off: %v", err)
	}
	if _, err := (&Stream{Head: json.RawMessage(`7`), Body: &closer{Reader: strings.NewReader("")}}).Whole(); ErrorCode(err) != Crashed {
		t.Errorf("a head that is no object: %v", err)
	}
}

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
