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
		got, err := Result{Stream: &Stream{Head: json.RawMessage(c.head), Body: closed}}.Whole()
		if err != nil || string(got.Payload) != c.want || got.Stream != nil || !closed.closed {
			t.Errorf("got %s %v, want %s", got.Payload, err, c.want)
		}
	}
	half := func(err error) Result {
		return Result{Stream: &Stream{Head: json.RawMessage(`{}`), Body: &closer{Reader: io.MultiReader(strings.NewReader("half"), failing{err})}}}
	}
	cut := errors.New("cut")
	if _, err := half(cut).Whole(); err != cut {
		t.Errorf("an answer that is cut off: %v", err)
	}
	thrown := &FunctionError{Type: "RangeError"}
	if r, err := half(thrown).Whole(); err != nil || r.Error != thrown || r.Payload != nil {
		t.Errorf("an error in the midst: %+v %v", r, err)
	}
	if r, err := (Result{Payload: json.RawMessage(`1`)}).Whole(); err != nil || string(r.Payload) != "1" {
		t.Errorf("no stream: %+v %v", r, err)
	}
	if _, err := (Result{Stream: &Stream{Head: json.RawMessage(`7`), Body: &closer{Reader: strings.NewReader("")}}}).Whole(); ErrorCode(err) != Crashed {
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
