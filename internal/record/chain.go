package record

// Lines in a chain: each holds the hash of the line before, as that one was written, byte by byte.
// Nothing is ever encoded anew to be checked, so there are no two ways to read what was signed.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// mark is how every line begins.
type mark struct {
	V    int    `json:"v"`
	Type string `json:"type"`
}

type decisionLine struct {
	mark
	Decision
}

// hashLen is the length of a hash as written: SHA-256 in lower-case hex.
const hashLen = 2 * sha256.Size

// noHash stands where nothing came before.
var noHash = strings.Repeat("0", hashLen)

// Hash is the hash of a line, its end included: what sha256sum says of it.
func Hash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// encode makes a line of a record.
func encode(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	return append(line, '\n'), err
}

func encodeDecision(d Decision) ([]byte, error) {
	return encode(decisionLine{mark{Version, "decision"}, d})
}

// appendInvocation appends the line of an invocation to b.
func appendInvocation(b []byte, i Invocation) []byte {
	i.Error = bounded(i.Error)
	b = strconv.AppendInt(append(b, `{"v":`...), Version, 10)
	return append(i.appendFields(append(b, `,"type":"invocation",`...)), "}\n"...)
}

func encodeDropped(count int) ([]byte, error) {
	return encode(struct {
		mark
		Dropped
	}{mark{Version, "dropped"}, Dropped{time.Now(), count}})
}

// with appends a line to out, with one more field, the last. The value must need no escape.
func with(out, line []byte, name, value string) []byte {
	out = append(out, line[:len(line)-len("}\n")]...)
	out = append(append(append(out, `,"`...), name...), `":"`...)
	return append(append(out, value...), "\"}\n"...)
}

// without is the reverse of with: the line without its last field, which must be name and have a value
// of n bytes, and that value.
func without(line []byte, name string, n int) (rest []byte, value string, ok bool) {
	head, end := `,"`+name+`":"`, "\"}\n"
	at := len(line) - len(head) - n - len(end)
	if at < 1 || !bytes.HasPrefix(line[at:], []byte(head)) || !bytes.HasSuffix(line, []byte(end)) {
		return nil, "", false
	}
	return append(bytes.Clone(line[:at]), "}\n"...), string(line[at+len(head) : len(line)-len(end)]), true
}

// link appends a line to out, with its place in the chain and, if a key is given, the key's signature
// over all that comes before it.
func link(out, line []byte, prev string, key *Key) []byte {
	if key == nil {
		return with(out, line, "prev", prev)
	}
	line = with(nil, line, "prev", prev)
	return with(out, line, "sig", key.sign(line))
}
