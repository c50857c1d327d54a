package environ

// How variables lie in the store: sealed whole, name and scopes and all, each together with the place that it is for.
// Who can write to the store can take variables away or bring an older one back, but can't read or make one, nor put
// one in the place of another: to make one takes the public key, and that is in the key file only.

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"filippo.io/age"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// sealed is what is encrypted.
type sealed struct {
	At       string   `json:"at"` // key in the store
	Variable Variable `json:"variable"`
}

func (ks keys) seal(at string, v Variable) ([]byte, error) {
	plain, err := json.Marshal(sealed{at, v})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, ks[0].Recipient())
	if err != nil {
		return nil, err
	}
	_, err = w.Write(plain)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// open is the reverse of seal for what was read from the store. Errors: weir.Internal, and nothing of what is in it.
func (ks keys) open(e store.Entry) (Variable, error) {
	var identities []age.Identity
	for _, k := range ks {
		identities = append(identities, k)
	}
	r, err := age.Decrypt(bytes.NewReader(e.Value), identities...)
	var plain []byte
	if err == nil {
		plain, err = io.ReadAll(r)
	}
	var s sealed
	if err == nil {
		err = json.Unmarshal(plain, &s)
	}
	if err != nil {
		return Variable{}, &weir.Error{Code: weir.Internal, Message: "a variable can't be opened: " + e.Key,
			Remedy: "use the key file that it was sealed with, or remove it and set it anew"}
	}
	if s.At != e.Key {
		return Variable{}, &weir.Error{Code: weir.Internal, Message: "somebody has put one variable in the place of another: " + e.Key,
			Remedy: "find out who can write to the store; remove it and set it anew"}
	}
	return s.Variable, nil
}
