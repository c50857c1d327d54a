package runtime

// How requests reach the shim: in whatever pieces the socket cuts them.

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// writePieces writes b piece by piece, each one after the process has taken the last.
func (p *process) writePieces(t *testing.T, b []byte, piece int) {
	t.Helper()
	for len(b) > 0 {
		n := min(piece, len(b))
		if err := p.write(b[:n], time.Now().Add(5*time.Second)); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
		for unread, end := 1, time.Now().Add(5*time.Second); unread > 0; {
			var err error
			p.raw.Control(func(fd uintptr) { unread, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
			if err != nil || time.Now().After(end) {
				t.Fatalf("the process does not read: %v", err)
			}
		}
	}
}

// TestRequestsInPieces: requests of all sizes arrive whole, however they are cut, one or two at a time.
func TestRequestsInPieces(t *testing.T) {
	p := must(t, `exports.handler = async (e, c) => [c.awsRequestId, e.text.length, e.text.slice(-3)];`)
	request := func(seq uint32, text string) []byte {
		meta, _ := json.Marshal(meta{ID: fmt.Sprint("id-", seq)})
		payload := binary.LittleEndian.AppendUint32(nil, uint32(len(meta)))
		payload = append(append(payload, meta...), fmt.Sprintf(`{"text":%q}`, text)...)
		b := append([]byte{inInvoke, 0, 0, 0}, binary.LittleEndian.AppendUint32(nil, seq)...)
		return append(binary.LittleEndian.AppendUint32(b, uint32(len(payload))), payload...)
	}
	answer := func(seq uint32) string {
		t.Helper()
		for {
			f, ok := p.scan.next()
			if ok && f.seq == seq {
				return string(f.payload)
			}
			n, err := p.fetch(time.Now().Add(5*time.Second), true)
			if err != nil {
				t.Fatalf("request %d: %v", seq, err)
			}
			p.scan.feed(p.buf[:n])
		}
	}
	long := strings.Repeat("é", 100_000)
	for i, c := range []struct {
		text  string
		piece int
	}{{"abc", 1}, {"abc", 5}, {"abc", headLen}, {"abc", headLen + 1}, {long, 1000}, {long, 1 << 20}, {long + "end", 65536}} {
		first, second := uint32(2*i+1), uint32(2*i+2)
		p.writePieces(t, append(request(first, c.text), request(second, c.text+"xyz")...), c.piece)
		size := len([]rune(c.text))
		if got, want := answer(first), fmt.Sprintf(`["id-%d",%d,%q]`, first, size, string([]rune(c.text)[size-3:])); got != want {
			t.Errorf("case %d: got %s, want %s", i, got, want)
		}
		if got, want := answer(second), fmt.Sprintf(`["id-%d",%d,"xyz"]`, second, size+3); got != want {
			t.Errorf("case %d, the second: got %s, want %s", i, got, want)
		}
	}
}

// TestAnswersOfAllSizes: the shim writes an answer that fits its buffer in place, and any other in a
// buffer of its own; to the supervisor they look alike.
func TestAnswersOfAllSizes(t *testing.T) {
	p := must(t, `exports.handler = async (e) => e.char.repeat(e.n);`)
	for _, char := range []string{"x", "é", "€", "😀", "\\ud800"} {
		for _, n := range []int{0, 1, 21_000, 21_834, 21_835, 21_836, 21_840, 65_000, 66_000} {
			r, err := p.invoke(t, fmt.Sprintf(`{"char":"%s","n":%d}`, char, n))
			want := `"` + strings.Repeat(char, n) + `"`
			if err != nil || string(r.Payload) != want {
				t.Errorf("%d of %s: got %d bytes and %v, want %d", n, char, len(r.Payload), err, len(want))
			}
		}
	}
	if r, err := p.invoke(t, `null`); err != nil || r.Error == nil {
		t.Errorf("an error after them: %s %v", r.Payload, err)
	}
}
